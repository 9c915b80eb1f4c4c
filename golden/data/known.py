# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What a model file says about the data sets that the project reads: class names, levels, licences.

Names are those of the publishers. Where classes are the digits 0 to 9, their numbers say enough. No torch here:
`ds2ta convert` needs none.
"""

from ds2ta.about import About, Events, Pixels, SampleOrigin
from ds2ta.network import Network

__all__ = ["KNOWN", "known_about"]

_UNSTATED = "none is stated by its publishers"
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_FINE = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_GESTURES = (
    *("hand_clapping", "right_hand_wave", "left_hand_wave", "right_arm_clockwise", "right_arm_counter_clockwise"),
    *("left_arm_clockwise", "left_arm_counter_clockwise", "arm_roll", "air_drums", "air_guitar", "other_gestures"),
)
_RGB = Pixels(colours="rgb", black=0, white=255, fit="crop")
_GREY = Pixels(colours="grey", black=0, white=255, fit="pad")


def _runs(size: int) -> Events:
    return Events(cut="count", microseconds=None, sensor_height=size, sensor_width=size)


def _from(source: str, licence: str, pass_on: bool | None) -> SampleOrigin:
    return SampleOrigin(source=source, licence=licence, pass_on=pass_on)


#: By the name of the data set.
KNOWN = {
    "digits": About(
        pixels=Pixels(colours="grey", black=0, white=16, fit="pad"),
        samples=_from("Optical Recognition of Handwritten Digits, test part", "CC BY 4.0", True),
    ),
    "cifar10": About(classes=_CIFAR10, pixels=_RGB, samples=_from("CIFAR-10", _UNSTATED, None)),
    "cifar100": About(classes=tuple(_FINE.split()), pixels=_RGB, samples=_from("CIFAR-100", _UNSTATED, None)),
    "mnist": About(pixels=_GREY, samples=_from("MNIST", _UNSTATED, None)),
    "fashion-mnist": About(classes=_FASHION, pixels=_GREY, samples=_from("Fashion-MNIST", "MIT", True)),
    "nmnist": About(events=_runs(34), samples=_from("N-MNIST", "CC BY-SA 4.0", True)),
    "cifar10-dvs": About(
        classes=_CIFAR10, events=_runs(128), samples=_from("CIFAR10-DVS", "that of its page on figshare", None)
    ),
    "dvs128-gesture": About(
        classes=_GESTURES, events=_runs(128), samples=_from("DVS128 Gesture", "CC BY 4.0", True)
    ),
}


def known_about(data: object, network: Network) -> About:
    """What is known of the data set of that name, if it can be one of this network's; else nothing."""
    found = KNOWN.get(data) if isinstance(data, str) else None
    if found is None or len(found.classes) not in (0, network.classes):
        return About()
    if network.input.kind == "image":
        fits = found.pixels is not None and network.input.channels == found.pixels.channels
    else:
        fits = found.events is not None and network.input.channels == 2
    return found if fits else About()
