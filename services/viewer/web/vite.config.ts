import { defineConfig } from "vite";
import { licences } from "./vite.licences.ts";

// File names without hashes, so that the committed bundle changes only where its contents do.
export default defineConfig({
  base: "./",
  plugins: [licences()],
  build: {
    outDir: "../static",
    emptyOutDir: true,
    target: "es2022",
    chunkSizeWarningLimit: 1000,
    rollupOptions: {
      output: {
        entryFileNames: "assets/viewer.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/viewer[extname]",
      },
    },
  },
});
