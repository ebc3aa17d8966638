package conformance;

import ca.uhn.fhir.context.support.IValidationSupport;
import java.util.List;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.common.hapi.validation.validator.WorkerContextValidationSupportAdapter;
import org.hl7.fhir.r5.model.CodeSystem;
import org.hl7.fhir.r5.model.Resource;

/** HAPI's, which gives up when a value set's system is unknown: it cannot list the code systems that there are. */
final class InstanceValidator extends FhirInstanceValidator {
  private final IValidationSupport support;

  InstanceValidator(IValidationSupport support) {
    super(support);
    this.support = support;
  }

  @Override
  protected WorkerContextValidationSupportAdapter provideWorkerContext() {
    return new Context(support);
  }

  /** Asked for all code systems (to find one by an identifier), it says none. */
  private static final class Context extends WorkerContextValidationSupportAdapter {
    Context(IValidationSupport support) {
      super(support);
    }

    @Override
    public <T extends Resource> List<T> fetchResourcesByType(Class<T> kind) {
      return kind == CodeSystem.class ? List.of() : super.fetchResourcesByType(kind);
    }
  }
}
