"""Codes in results: DICOM's and SNOMED's, and local ones where there is none.

docs/dicom_results.md lists the local ones.
"""

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from spectjax.bones.regions import MASSES

ARTIFICIAL_INTELLIGENCE = codes.DCM.ArtificialIntelligence
FINDING_CATEGORY = codes.SCT.MorphologicallyAbnormalStructure
FINDING = codes.SCT.Lesion  # not a metastasis: nothing here diagnoses
THORAX = Code("51185008", "SCT", "Chest")
WHOLE_BODY = codes.SCT.EntireBody
VIEWS = {"anterior": codes.SCT.Anterior, "posterior": codes.SCT.Posterior}
SIDES = {"left": codes.SCT.Left, "right": codes.SCT.Right}
# By the kinds of `spectjax.bones.regions.REGIONS`. No code is of a forearm with its
# hand: what is in one of them is a bone of the limb.
BONES = {
    "skull": codes.SCT.Skull,
    "cervical spine": codes.SCT.CervicalSpine,
    "thoracic spine": codes.SCT.ThoracicSpine,
    "lumbar spine": codes.SCT.LumbarSpine,
    "sacrum": codes.SCT.Sacrum,
    "sternum": codes.SCT.Sternum,
    "ribs": codes.SCT.Rib,
    "clavicle": codes.SCT.Clavicle,
    "scapula": codes.SCT.Scapula,
    "humerus": codes.SCT.Humerus,
    "forearm and hand": codes.SCT.BoneOfUpperLimb,
    "hip bone": codes.SCT.BoneStructureOfPelvis,
    "femur": codes.SCT.Femur,
    "lower leg and foot": codes.SCT.BoneOfLowerLimb,
}
EXTENTS = {"thorax": codes.SCT.BoneOfThorax, "whole body": codes.SCT.Bone}
PROCEDURE = Code("49118-3", "LN", "NM unspecified body region")  # the only one of NM
PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("2667000", "SCT", "Absent")
INDETERMINATE = Code("82334004", "SCT", "Indeterminate")
COUNTS_UNIT = Code("{counts}", "UCUM", "Counts")
RATIO_UNIT = Code("{ratio}", "UCUM", "ratio")
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
BONE_SHARE = _local("040", "Share of the region's projected area")
MIRROR_RATIO = _local("041", "Counts as a multiple of the mirrored place's")
INDEX_STATE = _local("050", "Index of the bones that are marked")
INDEX_TOLD = _local("051", "Told: a planar index of what the model marked")
INDEX_WITHHELD = _local("052", "Withheld: see comments")
THORACIC_INDEX = _local("053", "Thoracic bone involvement (planar)")
WHOLE_BODY_INDEX = _local("054", "Planar bone scan index")
INDICES = {"thorax": THORACIC_INDEX, "whole body": WHOLE_BODY_INDEX}
INDEX_METHOD = _local("055", f"Planar, masses of {MASSES}")
INDEX_OF_VIEW = _local("056", "The index of one view alone")
INDEX_MASS = _local("057", "Share of the skeleton's mass that is shown")
INTERVAL_LOW = _local("058", "Low end of 95 % of repeated scans, simulated")
INTERVAL_HIGH = _local("059", "High end of 95 % of repeated scans, simulated")
