/** Wires and sockets in the colour of their type, in both of ComfyUI's renderers and in every theme. */
import { app } from "../../scripts/app.js";
import { fillIn, sheet } from "./wires.mjs";

const isLight = () => !document.documentElement.classList.contains("dark-theme");

app.registerExtension({
  name: "visionsmith.wires",

  setup() {
    const style = document.createElement("style");
    style.textContent = sheet();
    document.head.append(style);
    for (const table of [app.canvas.default_connection_color_byType, window.LGraphCanvas.link_type_colors]) fillIn(table, isLight);
    app.canvas.setDirty(true, true);
  },
});
