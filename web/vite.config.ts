import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const server = process.env.IMAGEMILL_URL ?? "http://127.0.0.1:8700";
const answered = ["/api", "/v1", "/v2", "/fal", "/blobs", "/docs", "/redoc", "/openapi", "/openapi.json", "/health"];
const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  appType: "mpa",
  resolve: {
    alias: {
      "react-dom/client": "preact/compat/client",
      "react/jsx-runtime": "preact/jsx-runtime",
      "react-dom": "preact/compat",
      react: "preact/compat",
      "~": at("src"),
    },
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: at("../src/imagemill/web/console_files"),
    emptyOutDir: true,
    assetsInlineLimit: 0,
    target: "es2022",
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { index: at("index.html"), studio: at("studio.html") },
      // The libraries mark modules for servers that render React; here nothing is rendered on a server.
      onLog: (level, log, report) => log.code !== "MODULE_LEVEL_DIRECTIVE" && report(level, log),
    },
  },
  plugins: [
    {
      // The pages of the application at their addresses, as the real server has them.
      name: "imagemill-pages",
      configureServer({ middlewares }) {
        middlewares.use((request, _response, next) => {
          const path = (request.url ?? "/").split("?")[0] ?? "/";
          const isPage = request.headers.accept?.includes("text/html") && !path.includes(".");
          const isAnswered = answered.some((prefix) => path === prefix || path.startsWith(`${prefix}/`));
          if (isPage && !isAnswered) request.url = /^\/books(\/|$)/.test(path) ? "/studio.html" : "/index.html";
          next();
        });
      },
    },
  ],
  server: { proxy: Object.fromEntries(answered.map((path) => [path, { target: server, changeOrigin: false }])) },
});
