"""Expert Iteration's own checks before the first round: can kept responses be learned from?"""

from trainers.observer import Severity
from trainers.preflight_report import Check, PreflightInput, Result, doubtful, fatal, fine
from trainers.preflight_rollouts import ROLLOUT_CHECKS, cap_of


def _eos(given: PreflightInput) -> Result:
    """There is an EOS to end what is learned from."""
    tokenizer = given.tokenizer
    if tokenizer.eos_token_id is None:
        return fatal("the tokenizer has no EOS token; set one in its config")
    if not given.config.train.supervise_eos:
        return doubtful(
            "EOS is not trained: the model may forget to stop where no stop string ends it"
        )
    return fine(f"responses are learned with {tokenizer.eos_token} behind their stop string")


def _room(given: PreflightInput) -> Result:
    """Prompt and response fit into a training example."""
    cap = cap_of(given)
    longest = max(example.prompt_length for example in given.examples) + cap
    text = f"a prompt and a response of {cap:,} tokens take {longest:,} tokens at most"
    limit = given.config.train.max_length
    if longest > limit:
        return doubtful(
            f"{text}; responses that make an example longer than {limit:,} are not learned from, "
            "unless --max-length is raised"
        )
    return fine(text)


EI_CHECKS: tuple[Check[PreflightInput], ...] = (
    Check("eos", "an EOS to end what is learned from", Severity.ERROR, _eos),
    Check("room", "prompts and responses against --max-length", Severity.WARNING, _room),
    *ROLLOUT_CHECKS,
)
