// Bundles the CQL engine and our side of it into the one script that the service runs in V8.
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const TO_STUB = /^(fs|util)$/;
const UNUSED_MODEL = /fhir-modelinfo-(1\.0\.2|3\.0\.0|4\.0\.0)\.xml\.js$/;

// The XML of the model is parsed here, once per build: the script then needs neither an XML parser nor the
// Node modules that such a parser drags in, and an isolate starts faster.
const parsedModel = {
  name: "parsed-model",
  setup(builder) {
    builder.onResolve({ filter: UNUSED_MODEL }, (found) => ({ path: found.path, namespace: "empty" }));
    builder.onResolve({ filter: TO_STUB }, (found) => ({ path: found.path, namespace: "empty" }));
    builder.onLoad({ filter: /.*/, namespace: "empty" }, () => ({ contents: "module.exports = {};" }));

    builder.onResolve({ filter: /^xml2js(\/lib\/processors)?$/ }, (found) => ({ path: found.path, namespace: "xml" }));
    builder.onLoad({ filter: /.*/, namespace: "xml" }, () => ({
      contents: `module.exports = {
        stripPrefix: (name) => name,
        parseString: (text, options, done) => done(null, JSON.parse(text.slice("<model>".length, -"</model>".length))),
      };`,
    }));
    builder.onLoad({ filter: /fhir-modelinfo-4\.0\.1\.xml\.js$/ }, async (found) => {
      const xml2js = await import("xml2js");
      const { stripPrefix } = xml2js.default.processors;
      const xml = readFileSync(found.path.replace(/\.js$/, ""), "utf8");
      const parsed = await xml2js.default.parseStringPromise(xml, {
        async: false, tagNameProcessors: [stripPrefix], attrNameProcessors: [stripPrefix],
      });
      // cql-exec-fhir takes text that looks like XML for XML, and anything else for a file name.
      return { contents: `module.exports = ${JSON.stringify(`<model>${JSON.stringify(parsed)}</model>`)};` };
    });
  },
};

// cql-exec-fhir defines one getter for each element of a type on each object anew, walking the type's ancestors each
// time: three quarters of an evaluation over a large chart. The getters depend on the type alone, so they are made once.
const SLOW_GETTERS = /    var elementNames = new Set\(\);\n[\s\S]*?_iterator\.f\(\);\n    \}\n/;
const SHARED_GETTERS = `
    let getters = typeInfo._getters;
    if (getters === undefined) {
      getters = {};
      for (let at = typeInfo; at != null; at = at.baseTypeSpecifier ? modelInfo.findClass(at.baseTypeSpecifier.fqn) : null) {
        for (const { name } of at.elements) {
          getters[name] ??= { get() { return this.get(name); }, enumerable: true };
        }
      }
      typeInfo._getters = getters;
    }
    Object.defineProperties(this, getters);
`;
const sharedGetters = {
  name: "shared-getters",
  setup(builder) {
    builder.onLoad({ filter: /cql-exec-fhir\/lib\/fhir\.js$/ }, (found) => {
      const source = readFileSync(found.path, "utf8");
      const contents = source.replace(SLOW_GETTERS, SHARED_GETTERS);
      if (contents === source) throw new Error("cql-exec-fhir is not the release that tools/build-engine.mjs knows");
      return { contents };
    });
  },
};

const outcome = await build({
  entryPoints: [resolve(root, "service/engine/host/entry.js")],
  outfile: resolve(root, process.argv[2] ?? "service/_assets/cqlhost.js"),
  bundle: true,
  charset: "utf8",
  format: "iife",
  legalComments: "eof",
  // Without keepNames: it marks every closure anew, which costs a quarter of an evaluation, and the engine needs no names.
  minify: true,
  platform: "browser",
  plugins: [parsedModel, sharedGetters],
  define: { global: "globalThis" },
  banner: { js: "globalThis.console ??= {log(){},info(){},warn(){},error(){},debug(){}};" },
  absWorkingDir: root,
  logLevel: "warning",
  metafile: true,
});
for (const [file, { bytes }] of Object.entries(outcome.metafile.outputs)) console.log(`${file}: ${bytes} bytes`);
