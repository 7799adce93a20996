import { t } from "../words/text.mjs";

/**
 * What the label editor asks the server, and class numbers as they travel: by zlib and in base64, never as pixels of a picture.
 *
 * @typedef {{folder: string, images: string, masks: string, classes: string, coding: string}} Settings those of the node
 * @typedef {{name: string, labelled: boolean, shared: boolean}} Listed
 * @typedef {{name: string, color: string}} Class
 * @typedef {{folder: string, pictures: Listed[], classes: Class[], coding: string}} Listing
 * @typedef {(path: string, options: RequestInit) => Promise<Response>} Fetch
 */

/** @param {BlobPart} bytes @param {TransformStream} stream */
const through = (bytes, stream) => new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer();

/** @param {Uint8Array} labels @returns {Promise<string>} */
export async function pack(labels) {
  const small = new Uint8Array(await through(/** @type {BlobPart} */ (labels), new CompressionStream("deflate")));
  let text = "";
  for (let i = 0; i < small.length; i += 0x8000) text += String.fromCharCode(...small.subarray(i, i + 0x8000));
  return btoa(text);
}

/** @param {string} text @returns {Promise<Uint8Array>} */
export async function unpack(text) {
  const small = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Uint8Array(await through(small, new DecompressionStream("deflate")));
}

export class LabelServer {
  /** @param {Fetch} fetchApi @param {Settings} settings */
  constructor(fetchApi, settings) {
    this.fetchApi = fetchApi;
    this.settings = settings;
  }

  /**
   * @param {string} route @param {object} [more] @returns {Promise<Response>}
   * @throws {Error} a sentence: what the server has against it, or that it does not answer
   */
  async ask(route, more = {}) {
    let answer;
    try {
      answer = await this.fetchApi(`/visionsmith/labels/${route}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ ...this.settings, ...more }),
      });
    } catch {
      throw new Error(t("The server does not answer."));
    }
    if (answer.ok) return answer;
    const { error } = await answer.json().catch(() => ({}));
    throw new Error(error ?? t("The server refused this ({status}).", { status: answer.status }));
  }

  /** @returns {Promise<Listing>} */
  async list() {
    const listing = await (await this.ask("list")).json();
    this.settings = { ...this.settings, coding: listing.coding };
    return listing;
  }

  /** @param {string} picture @returns {Promise<ImageBitmap>} */
  async picture(picture) {
    const blob = await (await this.ask("picture", { picture })).blob();
    return createImageBitmap(blob, { colorSpaceConversion: "none" });
  }

  /** @param {string} picture @returns {Promise<{width: number, height: number, version: string, refused: string, labels: Uint8Array | null}>} */
  async mask(picture) {
    const { labels, ...rest } = await (await this.ask("mask", { picture })).json();
    return { ...rest, labels: labels === null ? null : await unpack(labels) };
  }

  /**
   * @param {string} picture @param {{width: number, height: number, labels: Uint8Array}} mask @param {string | null} version the one that was opened
   * @returns {Promise<string>} the version that is saved now
   */
  async save(picture, { width, height, labels }, version) {
    const answer = await this.ask("save", { picture, width, height, version, labels: await pack(labels) });
    return (await answer.json()).version;
  }
}
