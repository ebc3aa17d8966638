// Turns what CQL gave into plain JSON that still tells the CQL type where JSON has none.

const partial = (value, type) => ({ type, value: value.toString() });

function ofFhir(element) {
  const json = element._json;
  if (json?.resourceType) return { type: "FHIR", reference: `${json.resourceType}/${json.id ?? ""}` };
  const datatype = element.getTypeInfo()?.name?.replace(/^FHIR\./, "") ?? null;
  const isPrimitive = datatype !== null && /^[a-z]/.test(datatype);
  return isPrimitive ? plain(element.value) : { type: "FHIR", datatype, value: json };
}

const KINDS = [
  ["isTime", (v) => (typeof v.isTime === "function" && v.isTime() ? partial(v, "Time") : undefined)],
  ["isDateTime", (v) => partial(v, "DateTime")],
  ["isDate", (v) => partial(v, "Date")],
  ["isQuantity", (v) => ({ type: "Quantity", value: v.value, unit: v.unit ?? null })],
  ["isRatio", (v) => ({ type: "Ratio", numerator: plain(v.numerator), denominator: plain(v.denominator) })],
  ["isCode", (v) => ({
    type: "Code", code: v.code, system: v.system ?? null, version: v.version ?? null, display: v.display ?? null,
  })],
  ["isConcept", (v) => ({ type: "Concept", codes: plain(v.codes ?? []), display: v.display ?? null })],
  ["isValueSet", (v) => ({ type: "ValueSet", id: v.oid ?? v.id, version: v.version ?? null })],
  ["isInterval", (v) => ({
    type: "Interval", low: plain(v.low), high: plain(v.high), lowClosed: v.lowClosed, highClosed: v.highClosed,
  })],
  ["isUncertainty", (v) => ({ type: "Uncertainty", low: plain(v.low), high: plain(v.high) })],
];

export function plain(value) {
  if (value === null || value === undefined) return null;
  if (typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value.getTypeInfo === "function" && "_json" in value) return ofFhir(value);
  for (const [mark, write] of KINDS) {
    if (value[mark]) {
      const written = write(value);
      if (written !== undefined) return written;
    }
  }
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, plain(part)]));
}
