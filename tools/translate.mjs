// Translates a policy folder's CQL to ELM: node tools/translate.mjs --policy DIR [--check]
//
// Reads DIR/cql/*.cql, writes DIR/cql/elm/<Name>.json. With --check it writes nothing, and lists and refuses what is
// stale. CQL errors and ELM that the engine cannot evaluate are refused as file:line:column: message, exit 1.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import * as translator from "@cqframework/cql/cql-to-elm";
import { NamespaceManager, SystemModelInfoProvider } from "@cqframework/cql/cql";
import { lint, typesWithoutClass } from "./elm-lint.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(import.meta.url);
// Without FHIRHelpers the translator cannot tell whether a concept is in a value set; the engine's retrieve can.
const EXPECTED_WARNING = /Could not resolve membership operator for terminology target of the retrieve/;

function modelInfo(version) {
  const file = join(dirname(require.resolve("cql-exec-fhir")), `modelInfos/fhir-modelinfo-${version}.xml`);
  return existsSync(file) ? translator.stringAsSource(readFileSync(file, "utf8")) : null;
}

function unitFault(unit) {
  const { status, msg } = require("@lhncbc/ucum-lhc").UcumLhcUtils.getInstance().validateUnitString(unit);
  return status === "valid" ? null : msg.join(" ");
}

function notAvailable() {
  throw new Error("unit conversion is not available while translating");
}

/** Folder of CQL -> a library manager that finds includes in that folder. */
function managerOf(folder) {
  const models = new translator.ModelManager(new NamespaceManager());
  models.modelInfoLoader.registerModelInfoProvider(new SystemModelInfoProvider());
  models.modelInfoLoader.registerModelInfoProvider(translator.createModelInfoProvider(
    (id, _system, version) => (id === "FHIR" ? modelInfo(version) : null),
  ));
  const options = translator.CqlCompilerOptions.defaultOptions();
  options.signatureLevel = translator.LibraryBuilder.SignatureLevel.valueOf("Overloads");
  options.options.asJsSetView().delete(translator.CqlCompilerOptions.Options.valueOf("EnableAnnotations"));
  const units = translator.createUcumService(notAvailable, unitFault, notAvailable, notAvailable);
  const manager = new translator.LibraryManager(models, options, null, units);
  manager.librarySourceLoader.registerProvider(translator.createLibrarySourceProvider((id) => {
    const file = join(folder, `${id}.cql`);
    return existsSync(file) ? translator.stringAsSource(readFileSync(file, "utf8")) : null;
  }));
  return manager;
}

/** CQL file -> {elm, faults: ["file:line:column: message"]}; the ELM carries no fault and no warning of its own. */
function translate(folder, name, nodeTypes) {
  const file = join(folder, `${name}.cql`);
  const translated = translator.CqlTranslator.fromText(readFileSync(file, "utf8"), managerOf(folder));
  const elm = JSON.parse(translated.toJson());
  const faults = [];
  for (const note of elm.library.annotation ?? []) {
    if (note.type !== "CqlToElmError") continue;
    const line = `${file}:${note.startLine ?? 0}:${note.startChar ?? 0}: ${note.message}`;
    if (note.errorSeverity === "error" || note.errorSeverity === undefined) faults.push(line);
    else if (!EXPECTED_WARNING.test(note.message)) console.error(`${line} (${note.errorSeverity})`);
  }
  const unseen = translated.errors.asJsReadonlyArrayView().length;
  if (unseen > 0 && faults.length === 0) faults.push(`${file}:0:0: ${unseen} errors without a place`);
  if (elm.library.identifier?.id !== name) faults.push(`${file}:1:1: the library must be named ${name}`);
  if (!elm.library.identifier?.version) faults.push(`${file}:1:1: the library must have a version`);
  for (const { locator, message } of lint(elm, nodeTypes)) {
    faults.push(`${file}:${locator.split("-")[0]}: ${message}`);
  }
  // What remains are expected warnings; without them a new wording of the translator does not make ELM stale.
  elm.library.annotation = (elm.library.annotation ?? []).filter((note) => note.type !== "CqlToElmError");
  return { elm, faults };
}

// Lists that the translator writes even when empty; to every reader an absent one means the same.
const LEFT_OUT_WHEN_EMPTY = new Set(["annotation", "signature", "include", "codeFilter", "dateFilter", "otherFilter"]);
const compact = (part) => JSON.stringify(part, (name, value) =>
  (LEFT_OUT_WHEN_EMPTY.has(name) && Array.isArray(value) && value.length === 0 ? undefined : value));

/** Compact JSON with one define a line: small enough to send to a provider, and a diff still shows what changed. */
function written({ library }) {
  const sections = Object.entries(library).map(([name, section]) => {
    const lines = Array.isArray(section?.def) ? section.def.map(compact).join(",\n") : null;
    return `${JSON.stringify(name)}:${lines === null ? compact(section) : `{"def":[\n${lines}\n]}`}`;
  });
  return `{"library":{\n${sections.join(",\n")}\n}}\n`;
}

function compare(folder, wanted) {
  const present = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith(".json")) : [];
  const isStale = ([file, text]) => !present.includes(file) || readFileSync(join(folder, file), "utf8") !== text;
  const surplus = present.filter((file) => !wanted.has(file));
  return [...[...wanted].filter(isStale).map(([file]) => file), ...surplus].map((file) => join(folder, file));
}

function replace(folder, wanted) {
  mkdirSync(folder, { recursive: true });
  for (const file of readdirSync(folder)) if (file.endsWith(".json") && !wanted.has(file)) rmSync(join(folder, file));
  for (const [file, text] of wanted) writeFileSync(join(folder, file), text);
}

function main() {
  const { values } = parseArgs({ options: { policy: { type: "string" }, check: { type: "boolean", default: false } } });
  if (values.policy === undefined) return ["usage: node tools/translate.mjs --policy DIR [--check]"];
  const nodeTypes = JSON.parse(readFileSync(join(root, "service/engine/node_types.json"), "utf8"));
  const missing = typesWithoutClass(nodeTypes);
  if (missing.length > 0) return [`service/engine/node_types.json: the engine has no class for ${missing.join(", ")}`];

  const folder = join(values.policy, "cql");
  if (!existsSync(folder)) return [`${folder}: no such folder`];
  const names = readdirSync(folder).filter((file) => file.endsWith(".cql")).map((file) => file.slice(0, -4)).sort();
  const faults = [];
  const wanted = new Map();
  for (const name of names) {
    const { elm, faults: found } = translate(folder, name, nodeTypes);
    faults.push(...found);
    wanted.set(`${name}.json`, written(elm));
  }
  if (faults.length > 0) return faults;
  if (values.check) return compare(join(folder, "elm"), wanted).map((file) => `${file}: stale, translate again`);
  replace(join(folder, "elm"), wanted);
  return [];
}

const faults = main();
for (const fault of faults) console.error(fault);
process.exitCode = faults.length > 0 ? 1 : 0;
