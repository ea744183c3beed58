/// <reference types="vitest/config" />
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

// The server's own policy, so that `npm run preview` fails where the real server would.
const policy =
  "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";
const server = process.env.CORRAL_SERVER ?? "http://127.0.0.1:8080";

/** Writes the digest of the sources into the build: a test compares it, so a build that was forgotten cannot be committed. */
function sourceDigest(): Plugin {
  return {
    name: "source-digest",
    generateBundle() {
      const named = readdirSync("src", { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && !entry.name.endsWith(".test.ts"))
        .map((entry) => `${entry.parentPath}/${entry.name}`);
      const digest = createHash("sha256");
      for (const name of [...named, "index.html", "package-lock.json", "vite.config.ts"].sort()) {
        digest.update(`${name}\0`).update(readFileSync(name)).update("\0");
      }
      this.emitFile({ type: "asset", fileName: "source.sha256", source: `${digest.digest("hex")}\n` });
    },
  };
}

export default defineConfig({
  plugins: [react(), sourceDigest()],
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
