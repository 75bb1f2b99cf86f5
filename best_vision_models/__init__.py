"Which pretrained image model should I fine-tune? The notebooks in nbs/ export every module here."
import warnings

warnings.filterwarnings("ignore", message=".*torch.jit.script.*deprecated") # torchvision's, at its import


def __getattr__(name: str) -> str:
    "`__version__` is what settings.ini said when the package was installed; looked up when asked, to import fast."
    if name != "__version__": raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("best-vision-models")
