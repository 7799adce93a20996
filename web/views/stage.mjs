/** One picture as large as there is room for, with masks over it. */
import { html } from "./dom.mjs";

/** @typedef {{url: string, alt: string, width?: number, layers: Record<string, string>}} Shown */

export const TINY = 100; // pixels: smaller pictures are shown as the squares they are

export class PictureStage {
  /** @param {number} [opacity] of the layers */
  constructor(opacity = 0.55) {
    this.opacity = opacity;
    /** Which layers are seen. @type {Set<string>} */
    this.on = new Set();
    this.element = html("div", { class: "visionsmith-picture" });
  }

  /** @param {Shown | null} shown */
  show(shown) {
    this.element.replaceChildren();
    if (!shown) return;
    this.element.classList.toggle("visionsmith-tiny", (shown.width ?? TINY) < TINY);
    this.element.append(html("img", { src: shown.url, alt: shown.alt, draggable: "false" }));
    for (const [name, url] of Object.entries(shown.layers)) {
      this.element.append(html("img", { src: url, alt: "", draggable: "false", "data-layer": name }));
    }
    this.paint();
  }

  /** @param {number} opacity */
  setOpacity(opacity) {
    this.opacity = opacity;
    this.paint();
  }

  /** @param {string} layer @param {boolean} on */
  setLayer(layer, on) {
    if (on) this.on.add(layer);
    else this.on.delete(layer);
    this.paint();
  }

  paint() {
    for (const image of this.element.querySelectorAll("img")) {
      const { layer } = image.dataset;
      if (layer === undefined) continue;
      image.hidden = !this.on.has(layer);
      image.style.opacity = String(this.opacity);
    }
  }
}
