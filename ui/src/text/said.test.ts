import i18next from "i18next";
import { beforeAll, expect, it } from "vitest";
import en from "../i18n/en.json";
import zh from "../i18n/zh.json";
import { presenceSaid, reasonSaid, stageSaid } from "./said";

const t = () => i18next.getFixedT("zh");

beforeAll(() => i18next.init({ lng: "zh", resources: { en: { translation: en }, zh: { translation: zh } } }));

it("says in the reader's language what the server says in words it always uses", () => {
  expect(reasonSaid(t(), { reason: "timeout", reason_text: "ran longer …" })).toBe(zh.reason.timeout);
  expect(stageSaid(t(), "2 nodes")).toContain("2 个节点");
  expect(stageSaid(t(), "the rest")).toBe("其余");
  expect(presenceSaid(t(), "no beat for 30 s")).toBe("30 s 未收到心跳");
  expect(presenceSaid(t(), "its link closed: slow consumer")).toContain("slow consumer");
});

it("leaves what it does not know as it is", () => {
  expect(reasonSaid(t(), { reason: "of_tomorrow", reason_text: "new words" })).toBe("new words");
  expect(reasonSaid(t(), { reason: "", reason_text: "" })).toBe("");
  expect(stageSaid(t(), "canary")).toBe("canary");
  expect(presenceSaid(t(), "another reason")).toBe("another reason");
});
