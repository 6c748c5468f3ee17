"""Measure the shipped networks on all 10,000 test images and on the 500 shipped ones.

    python -m training.evaluate

The float network runs in numpy, the int8 one in LiteRT's reference kernels. Writes
intaglio/data/fashion_accuracy.json.
"""

from __future__ import annotations

import json

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from intaglio import data
from intaglio.network.float_network import FloatNetwork
from training.fashion_mnist import load_split
from training.select_images import TEST_IMAGES


def litert_classes(images: np.ndarray) -> np.ndarray:
    """The most probable class of each of images [N, 28, 28, 1], float32 in 0..1."""
    interpreter = Interpreter(str(data.MODEL), experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]
    classes = []
    for image in images:
        interpreter.set_tensor(source, image[None])
        interpreter.invoke()
        classes.append(int(interpreter.get_tensor(result)[0].argmax()))
    return np.array(classes)


def main() -> None:
    """Measure, print and write."""
    pixels, labels = load_split("t10k")
    images = data.network_input(pixels)
    found = {
        "float": FloatNetwork.load(data.FLOAT_MODEL).logits(images).argmax(axis=1),
        "int8_litert_ref": litert_classes(images),
    }
    report = {
        name: {
            str(count): round(float((classes[:count] == labels[:count]).mean()), 6)
            for count in (TEST_IMAGES, len(labels))
        }
        for name, classes in found.items()
    }
    data.ACCURACY.write_text(json.dumps(report, indent=2) + "\n")
    print(data.ACCURACY.read_text(), end="")


if __name__ == "__main__":
    main()
