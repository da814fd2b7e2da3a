-- The schema's number; a fleet without one gets this build's. KEYS: the number. ARGV: this build's.
local found = redis.call('GET', KEYS[1])
if found then return found end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
