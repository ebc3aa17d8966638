package conformance;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.parser.LenientErrorHandler;
import ca.uhn.fhir.parser.IParser;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.hl7.fhir.common.hapi.validation.support.BaseValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.MetadataResource;
import org.hl7.fhir.r4.model.Questionnaire;

/** The guides' own definitions, read from their packages, on top of FHIR R4's. */
final class Definitions {
  /** What the validator looks up. The rest (examples, and the few R5 resources in R4 packages) is passed over. */
  private static final Set<String> KINDS = Set.of("StructureDefinition", "ValueSet", "CodeSystem");

  private final FhirContext context;
  private final PrePopulatedValidationSupport guides;
  /** Address and version of what was read: the first of each is kept, the library itself would keep the last. */
  private final Set<String> read = new HashSet<>();
  private final Forms forms;

  Definitions(FhirContext context) {
    this.context = context;
    this.guides = new PrePopulatedValidationSupport(context);
    this.forms = new Forms(context);
  }

  void load(Path archive) throws IOException {
    IParser parser = context.newJsonParser();
    parser.setParserErrorHandler(new LenientErrorHandler(false));
    try (InputStream file = Files.newInputStream(archive);
        TarArchiveInputStream entries =
            new TarArchiveInputStream(new GZIPInputStream(new BufferedInputStream(file)))) {
      for (TarArchiveEntry entry = entries.getNextEntry(); entry != null; entry = entries.getNextEntry()) {
        if (isDefinition(entry.getName())) {
          String content = new String(entries.readAllBytes(), StandardCharsets.UTF_8).replace("\uFEFF", "");
          add(parser.parseResource(content));
        }
      }
    }
  }

  /** Single definitions of a folder, one to a file: stand-ins for what no package here has. */
  void loadFolder(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      for (Path file : files.sorted().toList()) {
        add(context.newJsonParser().parseResource(Files.readString(file)));
      }
    }
  }

  private void add(IBaseResource definition) {
    if (definition instanceof Questionnaire form) {
      forms.add(form);
    } else if (!(definition instanceof MetadataResource named) || read.add(named.getUrl() + "|" + named.getVersion())) {
      guides.addResource(definition);
    }
  }

  IValidationSupport support() {
    UnknownCodeSystemWarningValidationSupport unknown = new UnknownCodeSystemWarningValidationSupport(context);
    unknown.setNonExistentCodeSystemSeverity(IValidationSupport.IssueSeverity.WARNING);
    return new ValidationSupportChain(
        new DefaultProfileValidationSupport(context),
        guides,
        forms,
        new CommonCodeSystemsTerminologyService(context),
        new InMemoryTerminologyServerValidationSupport(context),
        new SnapshotGeneratingValidationSupport(context),
        unknown);
  }

  private static boolean isDefinition(String name) {
    String file = name.substring(name.lastIndexOf('/') + 1);
    return name.startsWith("package/" + file)
        && file.endsWith(".json")
        && KINDS.contains(file.substring(0, Math.max(0, file.indexOf('-'))));
  }

  /** The payer's forms, by their canonical with and without version: answers are judged by the form they answer. */
  private static final class Forms extends BaseValidationSupport {
    private final Map<String, Questionnaire> byCanonical = new HashMap<>();

    Forms(FhirContext context) {
      super(context);
    }

    void add(Questionnaire form) {
      byCanonical.put(form.getUrl(), form);
      byCanonical.put(form.getUrl() + "|" + form.getVersion(), form);
    }

    @Override
    public <T extends IBaseResource> T fetchResource(Class<T> kind, String uri) {
      return kind == Questionnaire.class ? kind.cast(byCanonical.get(uri)) : null;
    }
  }
}
