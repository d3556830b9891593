"""A server without the extra imports the layout's types and profiles, and no library of it."""

import subprocess
import sys


def test_types_and_profiles_load_no_library():
    program = (
        "import sys; from imagemill.products.books.layout import profiles, works, imposition, frames; "
        "profiles.load(); print(sorted({'typst', 'pikepdf', 'pypdfium2', 'numpy'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
