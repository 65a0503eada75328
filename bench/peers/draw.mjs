// A Vega-Lite spec as the text of an SVG.
import { parse, View } from 'vega';
import { compile } from 'vega-lite';

export const draw = (spec) => new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG();
