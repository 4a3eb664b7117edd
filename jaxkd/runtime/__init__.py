"""What a run needs of its machine: devices, processes, files and random keys.

accelerators.py    rates of accelerators by their data sheets
checkpoints.py     saving and restoring state, clean stops on signals
compile_target.py  devices that programs are written for, here or described
devices.py         replicated and sharded arrays
environment.py     versions, devices and commit, for reports
files.py           atomic writes of files and folders, JSON
finished_run.py    reading the folder of a finished run
formatting.py      numbers and names as text
keys.py            the tree of random keys
leases.py          locks on files that processes share
metrics.py         the metrics of a run, on disk
parallel.py        training that devices divide by batches or by networks
processes.py       several processes that run one program
profiling.py       profiler traces and peak memory
progress.py        progress on the terminal
run_folder.py      the folder of a run, its config and its lock
"""
