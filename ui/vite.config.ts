/// <reference types="vitest/config" />
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The server's own policy, so that `npm run preview` fails where the real server would.
const policy =
  "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";
const server = process.env.CORRAL_SERVER ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../src/corral/server/interface/web/dist",
    emptyOutDir: true,
    assetsInlineLimit: 0, // a data: address would need a hole in the policy
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  preview: {
    host: "127.0.0.1",
    headers: { "Content-Security-Policy": policy },
    proxy: { "/api": server, "/login": server, "/static": server },
  },
  test: { include: ["src/**/*.test.ts"] },
});
