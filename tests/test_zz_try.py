import time, cProfile, pstats
import pytest
from hypothesis import find, settings
from tests import worlds
from tests.helpcenter import test_rule as t
def test_prof(db):
    n=[0]; p=cProfile.Profile()
    def f(w):
        n[0]+=1; p.enable(); r=t.disagreements(w); p.disable(); return r
    s=time.time()
    try: find(worlds.worlds(), f, settings=settings(t.quietly, max_examples=15, derandomize=True, database=None))
    except Exception as e: print(repr(e)[:80])
    print(n, time.time()-s, t.PAIRS)
    pstats.Stats(p).sort_stats("cumtime").print_stats(45)
