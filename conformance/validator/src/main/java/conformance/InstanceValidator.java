package conformance;

import ca.uhn.fhir.context.support.IValidationSupport;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.common.hapi.validation.validator.WorkerContextValidationSupportAdapter;
import org.hl7.fhir.r5.model.CodeSystem;
import org.hl7.fhir.r5.model.Resource;

/** HAPI's, which gives up when a value set's system is unknown: it cannot list the code systems that there are. */
final class InstanceValidator extends FhirInstanceValidator {
  /** One for all resources: what it has looked up and converted once is not looked up again. */
  private final Context context;

  InstanceValidator(IValidationSupport support) {
    super(support);
    this.context = new Context(support);
  }

  @Override
  protected WorkerContextValidationSupportAdapter provideWorkerContext() {
    return context;
  }

  /**
   * Asked for all code systems (to find one by an identifier), it says none. It is asked for all structures at the
   * start of every resource, and HAPI's would convert them all anew each time: they are kept.
   */
  private static final class Context extends WorkerContextValidationSupportAdapter {
    private final Map<Class<?>, List<?>> kept = new HashMap<>();

    Context(IValidationSupport support) {
      super(support);
    }

    @Override
    @SuppressWarnings("unchecked") // what is kept under a class are resources of it
    public <T extends Resource> List<T> fetchResourcesByType(Class<T> kind) {
      if (kind == CodeSystem.class) {
        return List.of();
      }
      if (!kept.containsKey(kind)) {
        kept.put(kind, super.fetchResourcesByType(kind));
      }
      return (List<T>) kept.get(kind);
    }
  }
}
