"""The job of torchrun that a process belongs to, which goes on with what it began and with nothing else."""

import os
import uuid
from dataclasses import dataclass

import torch.distributed as dist


@dataclass(frozen=True)
class Job:
    """A job of torchrun; outside of one there is no name.

    Args:
        name: What no other job is called; it stays when torchrun starts the processes again.
        restarted: Whether it has started these processes again.
    """

    name: str = ""
    restarted: bool = False


NO_JOB = Job()


def torchrun_job() -> Job:
    """The job of this process.

    torchrun's own id of a job is not always one: it is `none`, or whatever `--rdzv-id` said, in each job. So
    the name is kept in the job's store, which outlives the processes.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return NO_JOB
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(host, port, is_master=False, wait_for_workers=False)
    name = store.compare_set("advprop/job", "", uuid.uuid4().hex).decode()
    return Job(name, restarted=os.environ["TORCHELASTIC_RESTART_COUNT"] != "0")
