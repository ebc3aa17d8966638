"""The generated tables are R4's: no vendor element, none lost, checked against the R4B models."""

from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from service.fhir.tables import Kind, Tables

# The types that CRD, DTR and PAS exchange and the data types they use; R4 and R4B agree on all their elements.
# fmt: off
SAME_IN_R4B = (
    "Address", "Age", "Annotation", "Attachment", "CodeableConcept", "Coding", "ContactDetail", "ContactPoint",
    "Count", "DataRequirement", "Distance", "Dosage", "Duration", "Expression", "HumanName", "Identifier", "Meta",
    "Money", "Narrative", "ParameterDefinition", "Period", "Quantity", "Range", "Ratio", "Reference",
    "RelatedArtifact", "SampledData", "Signature", "Timing", "TriggerDefinition", "UsageContext",
    "Appointment", "Basic", "Bundle", "CapabilityStatement", "Claim", "ClaimResponse", "CodeSystem",
    "Communication", "CommunicationRequest", "Condition", "Coverage", "Device", "DeviceRequest",
    "DiagnosticReport", "DocumentReference", "Encounter", "Endpoint", "Group", "HealthcareService", "Library",
    "Location", "Medication", "MedicationAdministration", "MedicationDispense", "MedicationRequest",
    "MedicationStatement", "NutritionOrder", "Observation", "OperationDefinition", "OperationOutcome",
    "Organization", "Parameters", "Patient", "Practitioner", "PractitionerRole", "Procedure", "Provenance",
    "Questionnaire", "QuestionnaireResponse", "RelatedPerson", "ServiceRequest", "StructureDefinition",
    "Subscription", "SupplyRequest", "Task", "ValueSet", "VisionPrescription",
)
# fmt: on


def _models_elements(model: Any) -> dict[str, bool]:
    """Element -> is a list, of an R4B model; `_siblings` aside."""
    elements = {}
    for name, field in model.model_fields.items():
        alias = field.alias or name
        if not alias.startswith("_") and alias not in ("resourceType", "resource_type", "fhir_comments"):
            elements[alias] = "List" in str(field.annotation) or "list" in str(field.annotation)
    return elements


@pytest.mark.parametrize("name", SAME_IN_R4B)
def test_elements_and_lists_are_those_of_the_models(name: str, tables: Tables) -> None:
    table = tables.types[name]
    ours = {
        member: element.many
        for member, element in table.elements.items()
        if element.kind not in (Kind.SIBLING, Kind.TYPE_NAME)
    }
    assert ours == _models_elements(get_fhir_model_class(name))


def test_extension_takes_every_value_of_r4_and_none_of_later_versions(tables: Tables) -> None:
    ours = {name for name in tables.types["Extension"].elements if name.startswith("value")}
    models = {name for name in _models_elements(get_fhir_model_class("Extension")) if name.startswith("value")}
    assert models - ours == {"valueCodeableReference", "valueRatioRange"}
    assert ours - models == {"valueMeta"}
    assert len(ours) == 50


def test_every_resource_of_r4_is_there_and_nothing_else(tables: Tables) -> None:
    assert len(tables.resources) == 146
    assert {"Claim", "MedicinalProduct", "EvidenceVariable", "Binary"} <= tables.resources
    assert not {"SubscriptionStatus", "Resource", "DomainResource", "Project"} & tables.resources


@pytest.mark.parametrize(
    ("type_name", "vendors"),
    [
        ("Meta", {"project", "author", "account", "accounts", "compartment", "onBehalfOf", "deleted"}),
        ("Binary", {"url"}),
        ("ResearchStudy", {"label", "outcomeMeasure", "recruitment", "progressStatus"}),
        ("DeviceDefinition", {"classification", "bodySite"}),
        ("EvidenceVariable.characteristic", {"definitionByTypeAndValue", "definitionByCombination", "timeFromEvent"}),
    ],
)
def test_the_vendors_own_elements_are_left_out(type_name: str, vendors: set[str], tables: Tables) -> None:
    assert not vendors & set(tables.types[type_name].elements)
    assert len(tables.types[type_name].elements) > 6


def test_what_the_vendor_changed_is_changed_back(tables: Tables) -> None:
    assert tables.types["Bundle.entry.response"].elements["outcome"].kind is Kind.RESOURCE
    assert "definitionDataRequirement" in tables.types["EvidenceVariable.characteristic"].elements


def test_every_type_that_is_named_is_there(tables: Tables) -> None:
    named = {
        element.type_name
        for table in tables.types.values()
        for element in table.elements.values()
        if element.kind in (Kind.OBJECT, Kind.SIBLING)
    }
    assert named <= set(tables.types)
    assert tables.types["Questionnaire.item"].elements["item"].type_name == "Questionnaire.item"
    assert set(tables.types["Element"].elements) == {"id", "extension"}


def test_required_elements_of_the_exchanged_types(tables: Tables) -> None:
    claim = {"status", "type", "use", "patient", "created", "provider", "priority", "insurance"}
    assert set(tables.types["Claim"].required) == claim
    assert tables.types["MedicationRequest"].required_choices == ("medication",)
    assert tables.types["Extension"].required_choices == ("value",)
