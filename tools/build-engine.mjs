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

const outcome = await build({
  entryPoints: [resolve(root, "service/engine/host/entry.js")],
  outfile: resolve(root, process.argv[2] ?? "service/_assets/cqlhost.js"),
  bundle: true,
  charset: "utf8",
  format: "iife",
  legalComments: "eof",
  minify: true,
  keepNames: true,
  platform: "browser",
  plugins: [parsedModel],
  define: { global: "globalThis" },
  banner: { js: "globalThis.console ??= {log(){},info(){},warn(){},error(){},debug(){}};" },
  absWorkingDir: root,
  logLevel: "warning",
  metafile: true,
});
for (const [file, { bytes }] of Object.entries(outcome.metafile.outputs)) console.log(`${file}: ${bytes} bytes`);
