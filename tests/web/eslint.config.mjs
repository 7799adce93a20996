import js from "@eslint/js";

const browser = ["document", "window", "requestAnimationFrame", "ResizeObserver", "Image", "URL", "URLSearchParams", "navigator", "crypto", "console", "setTimeout", "clearTimeout", "AbortController", "performance", "queueMicrotask", "DOMRect", "CSS", "CompressionStream", "DecompressionStream", "Blob", "Response", "TransformStream", "atob", "btoa", "createImageBitmap", "ImageData", "HTMLInputElement", "HTMLElement"];

export default [
  { ignores: ["**/node_modules/**", "**/*.d.ts"] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2022, sourceType: "module", globals: Object.fromEntries(browser.map((name) => [name, "readonly"])) },
    linterOptions: { reportUnusedDisableDirectives: true },
    rules: {
      eqeqeq: "error",
      "no-var": "error",
      "prefer-const": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-shadow": "error",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
    },
  },
];
