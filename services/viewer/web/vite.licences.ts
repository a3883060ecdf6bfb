import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import type { Plugin } from "vite";

/** Writes LICENSES.txt: name, version and licence text of every package of which something is in the bundle. */
export function licences(): Plugin {
  return {
    name: "licences",
    generateBundle(_, bundle) {
      const folders = new Set<string>();
      for (const chunk of Object.values(bundle))
        if (chunk.type === "chunk")
          for (const [id, { renderedLength }] of Object.entries(chunk.modules)) {
            const found = renderedLength && packageOf(id);
            if (found) folders.add(found);
          }
      const texts = [...folders].sort().map(text);
      this.emitFile({ type: "asset", fileName: "LICENSES.txt", source: [intro, ...texts].join(`\n${"-".repeat(80)}\n\n`) });
    },
  };
}

const intro = "The viewer's page is part of Panolink (Apache-2.0). Its bundle contains code of these packages:\n";

function packageOf(id: string): string | null {
  const parts = id.split("?")[0].split(sep);
  const last = parts.lastIndexOf("node_modules");
  if (last < 0) return null;
  return parts.slice(0, last + (parts[last + 1].startsWith("@") ? 3 : 2)).join(sep);
}

function text(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  if (!file) throw new Error(`${name} in ${dirname(folder)} has no licence text`);
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
}
