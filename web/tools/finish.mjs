// After `vite build`: a compressed copy beside each file, and the digest of the sources the files were built from.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const web = fileURLToPath(new URL("..", import.meta.url));
const built = join(web, "../src/imagemill/web/console_files");
const sources = ["index.html", "studio.html", "package-lock.json", "tsconfig.json", "vite.config.ts", "public", "src", "tools"];

function files(path) {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path).flatMap((name) => files(join(path, name)));
}

export function digest() {
  const hash = createHash("sha256");
  const named = sources.flatMap((name) => files(join(web, name))).map((path) => [relative(web, path).split(sep).join("/"), path]);
  for (const [name, path] of named.sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${name}\0`).update(createHash("sha256").update(readFileSync(path)).digest());
  }
  return hash.digest("hex");
}

for (const path of files(built)) {
  if (/\.(html|js|css|svg|json)$/.test(path)) {
    const packed = gzipSync(readFileSync(path), { level: 9 });
    packed[9] = 255; // the operating system's mark, so that the same sources give the same bytes everywhere
    writeFileSync(`${path}.gz`, packed);
  }
}
writeFileSync(join(built, "source.sha256"), `${digest()}\n`);
