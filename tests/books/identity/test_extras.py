"""A server without the extra `faces` can read and pickle the works, and does not load what they need."""

import subprocess
import sys

HEAVY = ("numpy", "cv2", "dlib", "onnxruntime")


def test_the_works_are_imported_without_their_heavy_packages():
    program = f"""
import pickle, sys
from imagemill.products.books.identity import base, local, paste, photo, score
pickle.loads(pickle.dumps(local.TransferFaces((), (1, 1))))
pickle.loads(pickle.dumps(photo.AnalysePhoto()))
print([name for name in {HEAVY} if name in sys.modules])
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


def test_a_missing_extra_is_named():
    """Without dlib each work says which extra brings it."""
    program = """
import sys
from importlib.machinery import PathFinder

class Hidden(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname == "dlib" else super().find_spec(fullname, path, target)

sys.meta_path = [Hidden if finder is PathFinder else finder for finder in sys.meta_path]
from imagemill.domain.errors import MissingExtra
from imagemill.products.books.identity import local, paste, photo, score
from imagemill.products.books.book_manifest import Box
box = Box(x=0, y=0, width=1, height=1)
for call in (
    lambda: photo.AnalysePhoto()({"photo": b""}),
    lambda: local.TransferFaces((), (1, 1))({"base": b""}),
    lambda: score.score_face(b"", None, b""),
    lambda: paste.crop_for(b"", box, 1),
):
    try:
        call()
    except MissingExtra as error:
        print(error)
"""
    told = subprocess.check_output([sys.executable, "-c", program], text=True).splitlines()
    assert len(told) == 4
    assert all("needs dlib, which is not installed: pip install 'imagemill[faces]'" in line for line in told)
