-- Lets a node go; one that is no member has gone already. ARGV: id, incarnation, seed.
local id = ARGV[1]
local lease = lease_of(id)
advance()
if lease and incarnation(lease) == ARGV[2] then
  remove(id, lease, LEAVE, ARGV[3])
  drop_old()
end
return { 'done' }
