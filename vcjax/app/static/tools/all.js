// The tools of the canvas, in the order of the tool bar.

import { MaskBrushTool, MaskEraseTool, RegionBrushTool } from "./brush.js";
import { CameraTool } from "./camera.js";
import { PictureEraseTool, PictureTool } from "./picture.js";
import { MaskPolygonTool, RegionPolygonTool } from "./polygon.js";
import { SelectTool } from "./select.js";
import { PinTool, StrokeTool } from "./stroke.js";

const TOOLS = [
  SelectTool, StrokeTool, RegionPolygonTool, RegionBrushTool, PinTool, CameraTool,
  MaskPolygonTool, MaskBrushTool, MaskEraseTool, PictureTool, PictureEraseTool,
];

/** Return the tools for which a model has conditions: classes with `info`. */
export function toolsFor(model) {
  const drawings = new Set(model.conditions.map((condition) => condition.drawing));
  return TOOLS.filter(({ info }) => info.drawings.some((drawing) => drawings.has(drawing)));
}
