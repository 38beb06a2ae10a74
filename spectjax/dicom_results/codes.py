"""Codes in results: DICOM's and SNOMED's, and local ones where there is none.

docs/dicom_results.md lists the local ones.
"""

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

ARTIFICIAL_INTELLIGENCE = codes.DCM.ArtificialIntelligence
FINDING_CATEGORY = codes.SCT.MorphologicallyAbnormalStructure
FINDING = codes.SCT.Lesion  # not a metastasis: nothing here diagnoses
THORAX = Code("51185008", "SCT", "Chest")
WHOLE_BODY = codes.SCT.EntireBody
VIEWS = {"anterior": codes.SCT.Anterior, "posterior": codes.SCT.Posterior}
PROCEDURE = Code("49118-3", "LN", "NM unspecified body region")  # the only one of NM
PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("2667000", "SCT", "Absent")
INDETERMINATE = Code("82334004", "SCT", "Indeterminate")
COUNTS_UNIT = Code("{counts}", "UCUM", "Counts")
LESIONS_UNIT = Code("{lesions}", "UCUM", "lesions")

SCHEME = "99SPECTJAX"


def _local(number: str, meaning: str) -> Code:
    return Code(f"SJ-{number}", SCHEME, meaning)


COUNTS = _local("001", "Counts in region")
CROP = _local("010", "Thorax found")
CROP_SURE = _local("011", "Without doubt")
CROP_DOUBT = _local("012", "In doubt: what is marked is no reading")
CROP_BY_HAND = _local("013", "By a person's decision")
COMPLETENESS = _local("014", "Files and views of the study")
ALL_READ = _local("015", "Both views read, nothing passed over")
NOT_ALL_READ = _local("016", "Not all read: see comments")
USE = _local("020", "Permitted use")
RESEARCH_ONLY = _local("021", "Research only, not for clinical use")
MODEL_CLASS = _local("030", "Class by the model, no diagnosis")
MODEL_METASTASIS = _local("031", "Model's class: metastasis (no diagnosis)")
MODEL_NORMAL = _local("032", "Model's class: normal (no diagnosis)")
PROBABILITY = _local("033", "Probability of the model's class metastasis")
STUDY_PROBABILITY = _local("034", "The same of all views of the study")
