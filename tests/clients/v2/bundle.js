// Bundles the program with each client: plain Node cannot load their ES modules, which import folders.
import { build } from "esbuild";

for (const [outfile, sdk] of [["orchestration.mjs", "@civitai/orchestration-client"], ["older.mjs", "@civitai/client"]]) {
  await build({
    entryPoints: ["client.js"], outfile, alias: { sdk }, bundle: true, platform: "node", format: "esm", logLevel: "error",
  });
}
