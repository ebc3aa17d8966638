// Our side of the script that runs in the V8 isolate: loads logic once, evaluates defines over one patient's records.
//
// Python calls `load`, `forget` and `evaluate` with JSON text; `take` gives JSON text back.
// cql-execution is asynchronous throughout, but nothing here waits for the outside, so an evaluation has finished
// when the microtasks of the call that began it have run; `take` then hands out its outcome.
import cql from "cql-execution";
import { PatientSource } from "cql-exec-fhir";
import { plain } from "./plain.js";

// PatientSource.FHIRv401() parses 760 KB of model info, so it is made once and its model shared by every evaluation.
const model = PatientSource.FHIRv401();
const logicByDigest = new Map();
let outcome = null;

function patientOf(records) {
  const source = Object.create(PatientSource.prototype);
  const bundle = { resourceType: "Bundle", entry: records.map((resource) => ({ resource })) };
  Object.assign(source, { _index: 0, _bundles: [bundle], _patientSourceOptions: {}, _modelInfo: model._modelInfo });
  return source.currentPatient();
}

/** {digest, libraries: [ELM], valueSets: [{url, version, codes: [{code, system, version}]}]} */
function load(text) {
  const { digest, libraries, valueSets } = JSON.parse(text);
  const repository = new cql.Repository(libraries);
  const expansions = Object.create(null);
  for (const { url, version, codes } of valueSets) {
    expansions[url] ??= Object.create(null);
    expansions[url][version] = codes;
  }
  logicByDigest.set(digest, {
    libraries: libraries.map((elm) => new cql.Library(elm, repository)),
    codes: new cql.CodeService(expansions),
  });
}

/** A digest as JSON text */
function forget(text) {
  logicByDigest.delete(JSON.parse(text));
}

/** {type, value} -> a CQL value. Dates keep the precision that they came with. */
function parameter({ type, value }) {
  return type === "Date" ? cql.Date.parse(value) : value;
}

class Failure extends Error {
  constructor(kind, define, cause) {
    super(kind);
    this.report = {
      kind,
      define,
      library: cause?.libraryName ?? null,
      locator: cause?.locator ?? null,
      // Only errors that name a value set are passed on: other messages may repeat what is in a record.
      valueSet: /^Unable to resolve expected valueset with id (\S+)/.exec(cause?.cause?.message ?? "")?.[1] ?? null,
    };
  }
}

function contextOf(request) {
  const logic = logicByDigest.get(request.digest);
  const library = logic?.libraries.find((l) => l.name === request.library && l.version === request.version);
  if (library === undefined) throw new Failure("no such library", null);
  const parameters = {};
  for (const [name, given] of Object.entries(request.parameters)) {
    if (!Object.hasOwn(library.parameters, name)) throw new Failure("no such parameter", name);
    parameters[name] = parameter(given);
    if (parameters[name] == null) throw new Failure("malformed parameter", name);
  }
  const patient = patientOf(request.records);
  const now = cql.DateTime.parse(request.now);
  try {
    return new cql.PatientContext(library, patient, logic.codes, parameters, now);
  } catch (error) {
    throw new Failure("parameter of another type", null, error);
  }
}

async function valuesOf(request) {
  // One context for all defines: cql-execution keeps in it what a define gave, for the defines that refer to it.
  const context = contextOf(request);
  const values = {};
  for (const name of request.defines) {
    if (!Object.hasOwn(context.library.expressions, name)) throw new Failure("no such define", name);
    try {
      values[name] = plain(await context.library.expressions[name].execute(context));
    } catch (error) {
      throw new Failure("failed", name, error);
    }
  }
  return values;
}

/** {digest, library, version, defines, records, parameters, now}; `take` gives the outcome */
function evaluate(text) {
  outcome = null;
  valuesOf(JSON.parse(text)).then(
    (values) => { outcome = { values }; },
    (error) => { outcome = { failure: error instanceof Failure ? error.report : { kind: "failed" } }; },
  );
}

/** -> null, or of what `evaluate` began {values} or {failure: {kind, define, library, locator, valueSet}} */
function take() {
  const text = JSON.stringify(outcome);
  outcome = null;
  return text;
}

globalThis.cqlhost = { load, forget, evaluate, take };
