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
import java.util.Set;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;

/** The guides' own definitions, read from their packages, on top of FHIR R4's. */
final class Definitions {
  /** What the validator looks up. The rest (examples, and the few R5 resources in R4 packages) is passed over. */
  private static final Set<String> KINDS = Set.of("StructureDefinition", "ValueSet", "CodeSystem");

  private final FhirContext context;
  private final PrePopulatedValidationSupport guides;

  Definitions(FhirContext context) {
    this.context = context;
    this.guides = new PrePopulatedValidationSupport(context);
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
          guides.addResource(parser.parseResource(content));
        }
      }
    }
  }

  /** Single definitions of a folder, one to a file: stand-ins for what no package here has. */
  void loadFolder(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      for (Path file : files.sorted().toList()) {
        guides.addResource(context.newJsonParser().parseResource(Files.readString(file)));
      }
    }
  }

  IValidationSupport support() {
    UnknownCodeSystemWarningValidationSupport unknown = new UnknownCodeSystemWarningValidationSupport(context);
    unknown.setNonExistentCodeSystemSeverity(IValidationSupport.IssueSeverity.WARNING);
    return new ValidationSupportChain(
        new DefaultProfileValidationSupport(context),
        guides,
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
}
