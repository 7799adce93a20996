/** What web/ uses of ComfyUI's front end, as far as it can be told; `any` where ComfyUI gives its own objects. */

declare module "*/scripts/app.js" {
  export const app: any;
}

declare module "*/scripts/api.js" {
  export const api: {
    apiURL(path: string): string;
    fetchApi(path: string, options?: RequestInit): Promise<Response>;
    addEventListener(name: string, listener: (event: CustomEvent<any>) => void): void;
    dispatchCustomEvent?(this: unknown, type: string, ...args: any[]): boolean;
  };
}

interface Window {
  LiteGraph: any;
  LGraphBadge: any;
  LGraphCanvas: any;
}
