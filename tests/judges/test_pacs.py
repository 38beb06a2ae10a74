"""A PACS takes scans and results, gives them back equal, and refuses strangers."""

import copy
import http.client

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from tests.support.judge_tools import need
from tests.support.judged_studies import LAYOUTS, write_phantoms
from tests.support.pacs import CALLER, HOST, TITLE, run_pacs

pytestmark = pytest.mark.judge
# Data Set Trailing Padding, which has no meaning: Orthanc's C-MOVE leaves it out.
PADDING = 0xFFFCFFFC
ROUNDS = ("one file, two frames", "capture", "a patient", "classifier")


@pytest.fixture(scope="module")
def pacs(tmp_path_factory):
    with run_pacs(tmp_path_factory.mktemp("pacs")) as pacs:
        yield pacs


def read_all(study):
    paths = [*study.sources, *study.results.values()]
    return {(ds := pydicom.dcmread(path)).SOPInstanceUID: ds for path in paths}


def without_padding(dataset):
    return {
        element.tag: element
        for element in dataset
        if element.tag != PADDING and element.tag.group > 2
    }


def are_equal(sent, found):
    """Whether the same instances came back, each the same element for element."""
    assert found.keys() == sent.keys()
    return all(without_padding(sent[k]) == without_padding(found[k]) for k in sent)


def associate(pacs, contexts, *, caller=CALLER, called=TITLE, host=HOST, **more):
    """An association with some SOP classes, established or refused."""
    from pynetdicom import AE

    entity = AE(caller)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    for context in contexts:
        entity.add_requested_context(context, [ExplicitVRLittleEndian])
    more["bind_address"] = (host, 0)
    return entity.associate(HOST, pacs.dicom_port, ae_title=called, **more)


def store(pacs, datasets):
    """Sends them by C-STORE; returns the statuses."""
    association = associate(pacs, sorted({ds.SOPClassUID for ds in datasets}))
    assert association.is_established
    statuses = [association.send_c_store(ds).Status for ds in datasets]
    association.release()
    return statuses


@pytest.fixture(scope="module", params=ROUNDS)
def stored(request, studies, pacs):
    """A study that the PACS took by C-STORE: its data sets by instance."""
    sent = read_all(studies[request.param])
    before = pacs.count()
    assert store(pacs, list(sent.values())) == [0x0000] * len(sent)
    assert pacs.count() == before + len(sent)
    return sent


def study_of(sent):
    return next(iter(sent.values())).StudyInstanceUID


def ask_for(sent, level, *keys):
    identifier = pydicom.Dataset()
    identifier.QueryRetrieveLevel = level
    identifier.StudyInstanceUID = study_of(sent)
    for key in keys:
        setattr(identifier, key, "")
    return identifier


def keep_in(found):
    """A handler of C-STORE that keeps what it receives."""
    from pynetdicom import evt

    def keep(event):
        found[event.request.AffectedSOPInstanceUID] = event.dataset
        return 0x0000

    return [(evt.EVT_C_STORE, keep)]


def describe_series(sent):
    return sorted(
        {
            (str(ds.SeriesInstanceUID), ds.Modality, ds.SeriesDescription)
            for ds in sent.values()
        }
    )


def test_c_find_knows_every_series(pacs, stored):
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as FIND

    keys = ("SeriesInstanceUID", "Modality", "SeriesDescription")
    association = associate(pacs, [FIND])
    answers = association.send_c_find(ask_for(stored, "SERIES", *keys), FIND)
    found = [found for _, found in answers if found is not None]
    association.release()
    assert sorted(tuple(str(ds[k].value) for k in keys) for ds in found) == (
        describe_series(stored)
    )


def test_c_move_gives_back_what_was_sent(pacs, stored):
    from pynetdicom import AE
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove as MOVE

    found = {}
    receiver = AE(CALLER)
    for sop_class in {ds.SOPClassUID for ds in stored.values()}:
        receiver.add_supported_context(sop_class)
    server = receiver.start_server(
        (HOST, pacs.caller_port), block=False, evt_handlers=keep_in(found)
    )
    try:
        association = associate(pacs, [MOVE])
        query = ask_for(stored, "STUDY")
        *_, (status, _) = association.send_c_move(query, CALLER, MOVE)
        association.release()
    finally:
        server.shutdown()
    assert (status.Status, status.NumberOfFailedSuboperations) == (0x0000, 0)
    assert are_equal(stored, found)


def test_c_get_gives_back_what_was_sent(pacs, stored):
    from pynetdicom import build_role
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet as GET

    found = {}
    classes = sorted({ds.SOPClassUID for ds in stored.values()})
    roles = [build_role(each, scu_role=True, scp_role=True) for each in classes]
    association = associate(
        pacs, [GET, *classes], ext_neg=roles, evt_handlers=keep_in(found)
    )
    *_, (status, _) = association.send_c_get(ask_for(stored, "STUDY"), GET)
    association.release()
    assert status.Status == 0x0000
    assert are_equal(stored, found)


@pytest.fixture(scope="module")
def web(pacs):
    need("dicomweb-client")
    from dicomweb_client import DICOMwebClient

    return DICOMwebClient(f"{pacs.web}/dicom-web")


def test_qido_knows_every_series(web, stored):
    found = [
        pydicom.Dataset.from_json(answer)
        for answer in web.search_for_series(study_of(stored))
    ]
    assert sorted(
        (str(ds.SeriesInstanceUID), ds.Modality, ds.SeriesDescription) for ds in found
    ) == describe_series(stored)


def test_wado_gives_back_what_was_sent(web, stored):
    found = web.retrieve_study(study_of(stored))
    assert are_equal(stored, {ds.SOPInstanceUID: ds for ds in found})


def test_stow_takes_a_study_and_wado_gives_it_back(pacs, web, studies):
    sent = read_all(studies["oriented"])
    before = pacs.count()
    answer = web.store_instances(list(sent.values()))
    assert not answer.get("FailedSOPSequence")
    assert pacs.count() == before + len(sent)
    found = web.retrieve_study(study_of(sent))
    assert are_equal(sent, {ds.SOPInstanceUID: ds for ds in found})


def test_what_comes_again_is_kept_once(pacs, stored):
    before = pacs.count()
    assert store(pacs, list(stored.values())) == [0x0000] * len(stored)
    assert pacs.count() == before


def test_other_content_under_a_known_uid_is_thrown_away(pacs, web, stored):
    """Why a changed result has another UID: the PACS accepts it and keeps the old."""
    uid, first = next(iter(stored.items()))
    other = copy.deepcopy(first)
    other.PatientName = "OTHER^CONTENT"
    assert store(pacs, [other]) == [0x0000]
    web.store_instances([other])
    kept = web.retrieve_instance(first.StudyInstanceUID, first.SeriesInstanceUID, uid)
    assert are_equal({uid: first}, {uid: kept})


@pytest.mark.parametrize(
    "stranger",
    [{"caller": "STRANGER"}, {"called": "OTHER"}, {"host": "127.0.0.2"}],
    ids=lambda stranger: next(iter(stranger)),
)
def test_strangers_are_refused(pacs, studies, stranger):
    (dataset, *_) = read_all(studies["no spacing"]).values()
    assert associate(pacs, [dataset.SOPClassUID], **stranger).is_rejected


def decode(pacs, path, n_frames=1):
    """What Orthanc's viewer, for which GDCM decodes, says of each frame."""
    name = pacs.take(path)
    return [
        pacs.ask(f"/web-viewer/instances/jpeg95-{name}_{i}") for i in range(n_frames)
    ]


def assert_decoded(pacs, path):
    """Holds size and largest value of each frame, if it has pixels, against pydicom."""
    dataset = pydicom.dcmread(path)
    if "PixelData" not in dataset:
        return
    channels = dataset.get("SamplesPerPixel", 1)
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns, channels)
    bright = 255 if dataset.BitsStored == 1 else 1
    for frame, decoded in zip(frames, decode(pacs, path, len(frames)), strict=True):
        assert (decoded["rows"], decoded["columns"]) == frame.shape[:2]
        assert decoded["maxPixelValue"] == bright * frame.max()


def test_gdcm_decodes_what_the_phantom_writes(pacs, tmp_path):
    for path in write_phantoms(tmp_path):
        assert_decoded(pacs, path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gdcm_decodes_scans_and_pictures(pacs, studies, layout):
    study = studies[layout]
    for path in [*study.sources, *study.results.values()]:
        assert_decoded(pacs, path)


def test_gdcm_ends_the_pacs_without_what_the_phantom_states(studies, tmp_path):
    """The file that the phantom wrote before: so this judge can fail."""
    dataset = pydicom.dcmread(studies["one view"].sources[0])
    for detector in dataset.DetectorInformationSequence:
        del detector.ImageOrientationPatient, detector.ImagePositionPatient
    dataset.save_as(tmp_path / "a.dcm")
    with run_pacs(tmp_path) as pacs:
        with pytest.raises((http.client.HTTPException, OSError)):
            decode(pacs, tmp_path / "a.dcm")
        assert pacs.process.wait(10) < 0  # by a signal
