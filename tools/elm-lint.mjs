// Refuses ELM that the engine would answer wrongly instead of loudly; the same rules as service/engine/lint.py.
//
// cql-execution builds null for a node type that it has no class for, so `HighBoundary(...)` is silently null.
// Only types in service/engine/node_types.json may occur; that list is checked here against the engine's classes.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const LITERALS = new Set(["Boolean", "Integer", "Decimal", "String"].map((t) => `{urn:hl7-org:elm-types:r1}${t}`));
const AGGREGATES = new Set([
  "Count", "Sum", "Avg", "Median", "Mode", "StdDev", "Product", "GeometricMean", "PopulationStdDev", "Variance",
  "PopulationVariance",
]);

/** Names in the list that the pinned engine cannot evaluate: the list is then wrong, not the logic. */
export function typesWithoutClass({ expressions }) {
  const classes = require("cql-execution/lib/elm/expressions");
  const isEvaluated = (name) =>
    typeof classes[name] === "function" && !(classes[name].prototype instanceof classes.UnimplementedExpression);
  return expressions.filter((name) => !isEvaluated(name));
}

function* nodes(part, locator) {
  if (Array.isArray(part)) {
    for (const element of part) yield* nodes(element, locator);
  } else if (part !== null && typeof part === "object") {
    const here = part.locator ?? locator;
    if (typeof part.type === "string") yield [part, here];
    for (const [name, child] of Object.entries(part)) if (name !== "annotation") yield* nodes(child, here);
  }
}

function faultOf(node, allowed) {
  if (!allowed.has(node.type)) return `${node.type} is not evaluated by the engine (it would be null)`;
  if (node.type === "Literal" && !LITERALS.has(node.valueType)) return `a literal of ${node.valueType} is not supported`;
  const source = node.source;
  if (AGGREGATES.has(node.type) && source?.type === "Query" && source.return && source.return.distinct !== false) {
    return `${node.type} over a query that drops equal results: write "return all"`;
  }
  if (node.type === "Retrieve" && node.codes?.type === "ToList" && node.codes.operand?.type === "ExpressionRef") {
    return "a retrieve by a define that lists codes fails in the engine: use a value set or a code";
  }
  return null;
}

/** ELM document, allowed types -> [{locator, message}] */
export function lint({ library }, { expressions, structure }) {
  const allowed = new Set([...expressions, ...structure]);
  const faults = [];
  for (const [node, locator] of nodes(library, "?")) {
    const message = faultOf(node, allowed);
    if (message !== null) faults.push({ locator, message });
  }
  return faults;
}
