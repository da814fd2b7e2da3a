-- Puts exactly this incarnation out. ARGV: id, incarnation, seed. Answers whether it was a member.
local id = ARGV[1]
local silent = lapsed()
local lease = lease_of(id)
advance()
reap(silent, ARGV[3])
for _, member in ipairs(silent) do
  if member[1] == id then lease = false end
end
if not lease or incarnation(lease) ~= ARGV[2] then return { 'done', 0 } end
remove(id, lease, EVICTED, ARGV[3])
drop_old()
return { 'done', 1 }
