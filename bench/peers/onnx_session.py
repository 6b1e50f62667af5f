"""Sessions of ONNX Runtime: a graph of nodes, and calls of it without copies."""

import onnxruntime
from onnx import TensorProto, helper

FLOAT = TensorProto.FLOAT
INT32 = TensorProto.INT32


def session(nodes, given, results, threads, initializers=()):
    graph = helper.make_graph(
        nodes, "row", [helper.make_tensor_value_info(name, kind, shape)
                       for name, (kind, shape) in given.items()],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in results],
        initializer=list(initializers))
    model = helper.make_model(graph, ir_version=8, opset_imports=[
        helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options,
                                        providers=["CPUExecutionProvider"])


def bound(runner, given, results):
    """call() and held results of a session whose inputs and outputs stay where they are."""
    binding = runner.io_binding()
    for name, value in given.items():
        if not isinstance(value, onnxruntime.OrtValue):
            value = onnxruntime.OrtValue.ortvalue_from_numpy(value)
        binding.bind_ortvalue_input(name, value)
    for name, value in results.items():
        if value is None:
            binding.bind_output(name, "cpu")
        else:
            binding.bind_ortvalue_output(name, value)
    return (lambda: runner.run_with_iobinding(binding)), (lambda: binding.get_outputs()[0].numpy())
