"""dev only"""
import random, sys, time, traceback
from hypothesis import find, settings, Phase, HealthCheck, given, seed
from tests import worlds
from tests.helpcenter import test_rule as t
from collections import Counter
def test_try(db):
    kinds=Counter(); n=[0]
    @seed(int(__import__('os').environ.get('SEED','1')))
    @settings(max_examples=int(__import__('os').environ.get('N','15')), phases=[Phase.generate], database=None, derandomize=False, deadline=None, suppress_health_check=list(HealthCheck))
    @given(worlds.worlds())
    def look(w):
        n[0]+=1
        try:
            for d in t.disagreements(w):
                k=d.split(' for ')[0][:40] if not d.startswith(('members','people')) else d.split()[0]
                kinds[k]+=1
                if kinds[k]<=2: print(d, '\n     ', [s for s in w.segments.values() if str(s.id) in d])
        except Exception as e:
            kinds[repr(e)[:150]]+=1
            if kinds[repr(e)[:150]]<2: traceback.print_exc(limit=-12)
    s=time.time(); look()
    print(n, kinds, t.PAIRS, time.time()-s)
