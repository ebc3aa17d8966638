package conformance;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.SingleValidationMessage;
import ca.uhn.fhir.validation.ValidationOptions;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.r5.utils.validation.constants.BestPracticeWarningLevel;

/**
 * Judges resources by the reference validator: {@code Validate JOBS.json RESULTS.json}.
 *
 * <p>JOBS.json: {"packages": ["crd-2.2.1.tgz", ...], "standIns": "folder",
 * "jobs": [{"name": "...", "file": "x.json", "profiles": [url]}]},
 * one version of each guide at a time. RESULTS.json: for each job its messages with severity, place, id and text.
 * Exit code 0 whenever everything was judged: the caller decides what a message means.
 */
public final class Validate {
  private static final ObjectMapper JSON = new ObjectMapper();

  private Validate() {}

  public static void main(String[] arguments) throws IOException {
    if (arguments.length != 2) {
      System.err.println("usage: Validate JOBS.json RESULTS.json");
      System.exit(2);
    }
    JsonNode order = JSON.readTree(new File(arguments[0]));
    FhirValidator validator = validator(order);
    ArrayNode results = JSON.createArrayNode();
    for (JsonNode job : order.get("jobs")) {
      results.add(judge(validator, job));
    }
    JSON.writerWithDefaultPrettyPrinter().writeValue(new File(arguments[1]), results);
  }

  private static FhirValidator validator(JsonNode order) throws IOException {
    FhirContext context = FhirContext.forR4();
    Definitions definitions = new Definitions(context);
    // First come, first kept: a corrected definition goes before the package's own.
    definitions.loadFolder(Path.of(order.get("standIns").asText()));
    for (JsonNode file : order.get("packages")) {
      definitions.load(Path.of(file.asText()));
    }
    FhirInstanceValidator module = new InstanceValidator(definitions.support());
    module.setAnyExtensionsAllowed(false);
    module.setErrorForUnknownProfiles(true);
    module.setNoExtensibleWarnings(false);
    module.setBestPracticeWarningLevel(BestPracticeWarningLevel.Ignore);
    return context.newValidator().registerValidatorModule(module);
  }

  private static ObjectNode judge(FhirValidator validator, JsonNode job) throws IOException {
    ObjectNode result = JSON.createObjectNode().put("name", job.get("name").asText());
    ArrayNode messages = result.putArray("messages");
    ValidationOptions options = new ValidationOptions();
    job.get("profiles").forEach(profile -> options.addProfile(profile.asText()));
    String content = Files.readString(Path.of(job.get("file").asText()), StandardCharsets.UTF_8);
    try {
      for (SingleValidationMessage message : validator.validateWithResult(content, options).getMessages()) {
        add(messages, message.getSeverity().getCode(), message.getLocationString(), message.getMessageId(), message.getMessage());
      }
    } catch (RuntimeException fault) {
      // The library gave up on this resource: nothing was judged, which is an error, and the others still are.
      add(messages, "fatal", "", "VALIDATOR_GAVE_UP", fault.toString() + " at " + fault.getStackTrace()[0]);
    }
    return result;
  }

  private static void add(ArrayNode messages, String severity, String place, String id, String text) {
    messages.addObject().put("severity", severity).put("place", place).put("id", id).put("text", text);
  }
}
