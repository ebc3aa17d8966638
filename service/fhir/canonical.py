"""Every URL, code system and guide version that this service speaks, grouped by guide."""

from typing import Final

# Guide versions (HL7 packages hl7.fhir.us.davinci-crd, -dtr, -pas). The first of each is the newest.
FHIR_VERSION: Final = "4.0.1"
CRD_VERSIONS: Final = ("2.2.1", "2.0.1")
DTR_VERSIONS: Final = ("2.2.0", "2.0.1")
PAS_VERSIONS: Final = ("2.2.1", "2.0.1")
# CRD names its versions by two numbers on the wire (davinci-crd.version, CRD 2.2.1).
CRD_WIRE_VERSIONS: Final = {"2.2": "2.2.1", "2.0": "2.0.1"}
DTR_GUIDE: Final = "http://hl7.org/fhir/us/davinci-dtr/ImplementationGuide/hl7.fhir.us.davinci-dtr"
PAS_GUIDE: Final = "http://hl7.org/fhir/us/davinci-pas/ImplementationGuide/hl7.fhir.us.davinci-pas"

# --- FHIR R4 core -----------------------------------------------------------------------------------------------
_CORE: Final = "http://hl7.org/fhir/StructureDefinition/"
_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem/"
CQF_LIBRARY: Final = _CORE + "cqf-library"
ARTIFACT_VERSION_ALGORITHM: Final = _CORE + "artifact-versionAlgorithm"
QUESTIONNAIRE_HIDDEN: Final = _CORE + "questionnaire-hidden"
QUESTIONNAIRE_ITEM_CONTROL: Final = _CORE + "questionnaire-itemControl"
QUESTIONNAIRE_SUPPORT_LINK: Final = _CORE + "questionnaire-supportLink"
QUESTIONNAIRE_UNIT_OPTION: Final = _CORE + "questionnaire-unitOption"
QUESTIONNAIRE_OPTION_EXCLUSIVE: Final = _CORE + "questionnaire-optionExclusive"

ADJUDICATION: Final = _TERMINOLOGY + "adjudication"
CLAIM_TYPE: Final = _TERMINOLOGY + "claim-type"
COVERAGE_CLASS: Final = _TERMINOLOGY + "coverage-class"
DATA_ABSENT_REASON_CODES: Final = _TERMINOLOGY + "data-absent-reason"
IDENTIFIER_TYPE: Final = _TERMINOLOGY + "v2-0203"
NULL_FLAVOR: Final = _TERMINOLOGY + "v3-NullFlavor"
PROCESS_PRIORITY: Final = _TERMINOLOGY + "processpriority"
RELATED_CLAIM_RELATIONSHIP: Final = _TERMINOLOGY + "ex-relatedclaimrelationship"

# --- Code systems of clinical and billing data ------------------------------------------------------------------
URI_SYSTEM: Final = "urn:ietf:rfc:3986"
UCUM: Final = "http://unitsofmeasure.org"
LOINC: Final = "http://loinc.org"
SNOMED: Final = "http://snomed.info/sct"
RXNORM: Final = "http://www.nlm.nih.gov/research/umls/rxnorm"
NDC: Final = "http://hl7.org/fhir/sid/ndc"
CPT: Final = "http://www.ama-assn.org/go/cpt"
ICD10_CM: Final = "http://hl7.org/fhir/sid/icd-10-cm"
# Its OID (HL7 Terminology, NamingSystem ICD10CM), and the names of ICD-10 itself, of which it is the US edition with
# the same categories: a US claim that names that one means this one.
ICD10_CM_SYSTEMS: Final = frozenset(
    {
        ICD10_CM,
        "https://hl7.org/fhir/sid/icd-10-cm",
        "urn:oid:2.16.840.1.113883.6.90",
        "http://hl7.org/fhir/sid/icd-10",
        "urn:oid:2.16.840.1.113883.6.3",
    }
)
# Emit the first: the PAS value sets use it. The others are in use: https in PAS examples, the OID in CRD's
# billing value sets, Blue Button in CMS data.
HCPCS: Final = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
HCPCS_SYSTEMS: Final = frozenset(
    {
        HCPCS,
        "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
        "urn:oid:2.16.840.1.113883.6.285",
        "https://bluebutton.cms.gov/resources/codesystem/hcpcs",
    }
)
PLACE_OF_SERVICE: Final = "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set"
PROVIDER_TAXONOMY: Final = "http://nucc.org/provider-taxonomy"

# --- US identifiers ---------------------------------------------------------------------------------------------
NPI: Final = "http://hl7.org/fhir/sid/us-npi"
MEMBER_ID_TYPE_CODE: Final = "MB"  # in IDENTIFIER_TYPE
TRACE_NUMBER_PREFIX: Final = "urn:trnorg:"  # + TRN03: system of Claim.identifier (PAS 2.2.1)

# --- X12 (licensed: URLs here, code meanings in configuration) --------------------------------------------------
X12_SYSTEMS: Final = "https://codesystem.x12.org/"
_X12: Final = X12_SYSTEMS + "005010/"
X12_ENTITY_TYPE: Final = _X12 + "98"
X12_REVIEW_ACTION: Final = _X12 + "306"
X12_REPORT_TYPE: Final = _X12 + "755"
X12_REPORT_TRANSMISSION: Final = _X12 + "756"
X12_FOLLOWUP_ACTION: Final = _X12 + "889"
X12_REJECT_REASON: Final = _X12 + "901"
X12_CERTIFICATION_TYPE: Final = _X12 + "1322"
X12_LEVEL_OF_SERVICE: Final = _X12 + "1338"
X12_SERVICE_TYPE: Final = _X12 + "1365"
X12_REQUEST_CATEGORY: Final = _X12 + "1525"
X12_DECISION_REASON: Final = "https://codesystem.x12.org/external/886"

# --- CRD --------------------------------------------------------------------------------------------------------
_CRD: Final = "http://hl7.org/fhir/us/davinci-crd/"
CRD_COVERAGE_INFORMATION: Final = _CRD + "StructureDefinition/ext-coverage-information"
CRD_BILLING_OPTIONS: Final = _CRD + "StructureDefinition/ext-billing-options"
CRD_TEMP: Final = _CRD + "CodeSystem/temp"  # all codes in 2.0.1, reasons in 2.2.1
CRD_COVERAGE_CODES: Final = _CRD + "CodeSystem/coverage-information-codes"  # 2.2.1
CRD_COVERAGE_DETAIL: Final = _TERMINOLOGY + "crd-coverage-detail"  # 2.2.1
CDS_CARD_TYPE: Final = _TERMINOLOGY + "cdshooks-card-type"  # card topics in 2.2.1; CRD_TEMP in 2.0.1
# Members of CDS Hooks `extension` objects: plain JSON, not FHIR extensions.
CRD_JSON_CONFIGURATION_OPTIONS: Final = "davinci-crd.configuration-options"
CRD_JSON_VERSION: Final = "davinci-crd.version"
CRD_JSON_CONFIGURATION: Final = "davinci-crd.configuration"
CRD_JSON_REQUESTED_VERSION: Final = "davinci-crd.requestedVersion"
CRD_JSON_ASSOCIATED_RESOURCE: Final = "davinci-crd.associated-resource"

# --- DTR and SDC ------------------------------------------------------------------------------------------------
_DTR: Final = "http://hl7.org/fhir/us/davinci-dtr/"
DTR_STANDARD_QUESTIONNAIRE: Final = _DTR + "StructureDefinition/dtr-std-questionnaire"
DTR_ADAPTIVE_QUESTIONNAIRE: Final = _DTR + "StructureDefinition/dtr-questionnaire-adapt"
DTR_ADAPTIVE_SEARCH_QUESTIONNAIRE: Final = _DTR + "StructureDefinition/dtr-questionnaire-adapt-search"
DTR_QUESTIONNAIRE_RESPONSE: Final = _DTR + "StructureDefinition/dtr-questionnaireresponse"
DTR_ADAPTIVE_QUESTIONNAIRE_RESPONSE: Final = _DTR + "StructureDefinition/dtr-questionnaireresponse-adapt"  # 2.2.0
DTR_PACKAGE_BUNDLE: Final = _DTR + "StructureDefinition/DTR-QPackageBundle"
DTR_PACKAGE_OUTPUT: Final = _DTR + "StructureDefinition/dtr-qpackage-output-parameters"
DTR_INFORMATION_ORIGIN: Final = _DTR + "StructureDefinition/information-origin"
DTR_INTENDED_USE: Final = _DTR + "StructureDefinition/intendedUse"
DTR_CONTEXT: Final = _DTR + "StructureDefinition/qr-context"
DTR_COVERAGE: Final = _DTR + "StructureDefinition/qr-coverage"  # 2.2.0; 2.0.1 repeats DTR_CONTEXT
DTR_ALTERNATIVE_EXPRESSION: Final = _DTR + "StructureDefinition/alternativeExpression"  # 2.2.0
DTR_OPERATION_PACKAGE: Final = _DTR + "OperationDefinition/questionnaire-package"
DTR_OPERATION_LOG_ERRORS: Final = _DTR + "OperationDefinition/log-questionnaire-errors"
CORE_OPERATION_EXPAND: Final = "http://hl7.org/fhir/OperationDefinition/ValueSet-expand"

_SDC: Final = "http://hl7.org/fhir/uv/sdc/"
SDC_OPERATION_NEXT_QUESTION: Final = _SDC + "OperationDefinition/Questionnaire-next-question"
SDC_ADAPTIVE: Final = _SDC + "StructureDefinition/sdc-questionnaire-questionnaireAdaptive"
SDC_INITIAL_EXPRESSION: Final = _SDC + "StructureDefinition/sdc-questionnaire-initialExpression"

# --- PAS --------------------------------------------------------------------------------------------------------
_PAS: Final = "http://hl7.org/fhir/us/davinci-pas/"
PAS_TEMP_CODES: Final = _PAS + "CodeSystem/PASTempCodes"
PAS_OPERATION_SUBMIT: Final = _PAS + "OperationDefinition/Claim-submit"
PAS_OPERATION_INQUIRE: Final = _PAS + "OperationDefinition/Claim-inquiry"
# CDex 2.1.0, whose operation PAS uses for what a payer asks for.
CDEX_OPERATION_SUBMIT_ATTACHMENT: Final = "http://hl7.org/fhir/us/davinci-cdex/OperationDefinition/submit-attachment"
PAS_SUBSCRIPTION_TOPIC: Final = _PAS + "SubscriptionTopic/PASSubscriptionTopic"

_PAS_PROFILE: Final = _PAS + "StructureDefinition/profile-"
PAS_REQUEST_BUNDLE: Final = _PAS_PROFILE + "pas-request-bundle"
PAS_RESPONSE_BUNDLE: Final = _PAS_PROFILE + "pas-response-bundle"
PAS_INQUIRY_REQUEST_BUNDLE: Final = _PAS_PROFILE + "pas-inquiry-request-bundle"
PAS_INQUIRY_RESPONSE_BUNDLE: Final = _PAS_PROFILE + "pas-inquiry-response-bundle"
PAS_CLAIM: Final = _PAS_PROFILE + "claim"
PAS_CLAIM_UPDATE: Final = _PAS_PROFILE + "claim-update"
PAS_CLAIM_INQUIRY: Final = _PAS_PROFILE + "claim-inquiry"
PAS_CLAIM_RESPONSE: Final = _PAS_PROFILE + "claimresponse"
PAS_CLAIM_INQUIRY_RESPONSE: Final = _PAS_PROFILE + "claiminquiryresponse"
PAS_COMMUNICATION_REQUEST: Final = _PAS_PROFILE + "communicationrequest"
PAS_TASK: Final = _PAS_PROFILE + "task"

_PAS_EXTENSION: Final = _PAS + "StructureDefinition/extension-"
PAS_REVIEW_ACTION: Final = _PAS_EXTENSION + "reviewAction"
PAS_REVIEW_ACTION_CODE: Final = _PAS_EXTENSION + "reviewActionCode"
PAS_ITEM_TRACE_NUMBER: Final = _PAS_EXTENSION + "itemTraceNumber"
PAS_ITEM_ISSUE_DATE: Final = _PAS_EXTENSION + "itemPreAuthIssueDate"
PAS_ITEM_PERIOD: Final = _PAS_EXTENSION + "itemPreAuthPeriod"
PAS_ITEM_REQUESTED_SERVICE_DATE: Final = _PAS_EXTENSION + "itemRequestedServiceDate"
PAS_ITEM_AUTHORIZED_DETAIL: Final = _PAS_EXTENSION + "itemAuthorizedDetail"
PAS_ITEM_AUTHORIZED_PROVIDER: Final = _PAS_EXTENSION + "itemAuthorizedProvider"
PAS_AUTHORIZED_PROVIDER_TYPE: Final = _PAS_EXTENSION + "authorizedProviderType"  # 2.2.1; short in 2.0.1
PAS_REVENUE_CODE: Final = _PAS_EXTENSION + "revenueCode"  # 2.2.1; short `revenue` in 2.0.1
PAS_ITEM_CATEGORY: Final = _PAS_EXTENSION + "itemCategory"  # 2.2.1
PAS_AUTHORIZATION_NUMBER: Final = _PAS_EXTENSION + "authorizationNumber"
PAS_ADMINISTRATION_REFERENCE: Final = _PAS_EXTENSION + "administrationReferenceNumber"
PAS_COMMUNICATED_DIAGNOSIS: Final = _PAS_EXTENSION + "communicatedDiagnosis"
PAS_CLAIM_RESPONSE_REVIEWER: Final = _PAS_EXTENSION + "claimResponseReviewer"  # 2.2.1
PAS_TRANSMISSION_IDENTIFIERS: Final = _PAS_EXTENSION + "TransmissionIdentifiers"  # 2.2.1
PAS_ERROR_FOLLOWUP_ACTION: Final = _PAS_EXTENSION + "errorFollowupAction"
PAS_ERROR_ELEMENT: Final = _PAS_EXTENSION + "errorElement"
PAS_ERROR_PATH: Final = _PAS_EXTENSION + "errorPath"
PAS_SERVICE_ITEM_REQUEST_TYPE: Final = _PAS_EXTENSION + "serviceItemRequestType"
PAS_CERTIFICATION_TYPE: Final = _PAS_EXTENSION + "certificationType"
PAS_CERTIFICATION_ISSUE_DATE: Final = _PAS_EXTENSION + "itemCertificationIssueDate"
PAS_CERTIFICATION_EXPIRATION_DATE: Final = _PAS_EXTENSION + "itemCertificationExpirationDate"
PAS_CERTIFICATION_EFFECTIVE_DATE: Final = _PAS_EXTENSION + "itemCertificationEffectiveDate"
PAS_LEVEL_OF_SERVICE: Final = _PAS_EXTENSION + "levelOfServiceCode"
PAS_REQUESTED_SERVICE: Final = _PAS_EXTENSION + "requestedService"
PAS_INFO_CHANGED: Final = _PAS_EXTENSION + "infoChanged"
PAS_INFO_CANCELLED: Final = _PAS + "StructureDefinition/modifierextension-infoCancelled"
PAS_CARE_TEAM_CLAIM_SCOPE: Final = _PAS_EXTENSION + "careTeamClaimScope"
PAS_DOCUMENT_INFORMATION: Final = _PAS_EXTENSION + "documentInformation"  # 2.2.1
PAS_SERVICE_LINE_NUMBER: Final = _PAS_EXTENSION + "serviceLineNumber"
PAS_CONTENT_MODIFIER: Final = _PAS_EXTENSION + "contentModifier"
PAS_LINE_NUMBER: Final = _PAS_EXTENSION + "paLineNumber"  # 2.0.1 Task input

# --- Subscriptions R5 backport for R4, 1.1.0 --------------------------------------------------------------------
_BACKPORT: Final = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-"
SUBSCRIPTION_FILTER: Final = _BACKPORT + "filter-criteria"
SUBSCRIPTION_PAYLOAD_CONTENT: Final = _BACKPORT + "payload-content"
SUBSCRIPTION_STATUS: Final = _BACKPORT + "subscription-status-r4"
SUBSCRIPTION_OPERATION_STATUS: Final = (
    "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-status"
)
SUBSCRIPTION_TOPIC_OF_SERVER: Final = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical"


def split_canonical(canonical: str) -> tuple[str, str | None]:
    """Return (url, version or None) of "url|version"; a fragment is dropped."""
    url, _, version = canonical.partition("#")[0].partition("|")
    return url, version or None


def versioned(url: str, version: str | None) -> str:
    """Return "url|version", or the url alone."""
    return f"{url}|{version}" if version else url
