// Both languages travel with the page: they are small, and switching never waits.
import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import en from "./en.json";
import zh from "./zh.json";

export const LANGUAGES = { en: "English", zh: "中文" } as const;
export type Language = keyof typeof LANGUAGES;

const KEY = "corral.language";

export function startLanguages(): void {
  const kept = localStorage.getItem(KEY);
  const first = kept ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
  void i18next.use(initReactI18next).init({
    resources: { en: { translation: en }, zh: { translation: zh } },
    lng: first in LANGUAGES ? first : "en",
    fallbackLng: "en",
    interpolation: { escapeValue: false }, // React writes text nodes; escaping twice would show entities
  });
  document.documentElement.lang = i18next.language === "zh" ? "zh-CN" : "en";
}

export function speak(language: Language): void {
  localStorage.setItem(KEY, language);
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  void i18next.changeLanguage(language);
}
