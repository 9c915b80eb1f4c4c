"""Settings of all tests."""


def pytest_configure(config):
    # Amaranth warns of components that are never elaborated, when the garbage collector finds them, which may be in
    # another test. Tests of parameter limits make such components on purpose.
    config.addinivalue_line("filterwarnings", "ignore::amaranth.hdl.UnusedElaboratable")
