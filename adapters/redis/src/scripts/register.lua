-- Registers a node. ARGV: id, record (its number is filled in here), heartbeat and lease in ms, nonce,
-- last number that the node knows of.
local id, record, nonce, known = ARGV[1], ARGV[2], ARGV[5], tonumber(ARGV[6])
local heartbeat, lease_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
local NUMBER_MAX, NONCES_KEPT = 9007199254740991, 16
local silent = lapsed()
local stored_heartbeat, stored_lease = timing_of()
local runs = call('HGET', N, 'u' .. id)
if runs and (#runs < 8 or (#runs - 8) % 16 ~= 0) then corrupt('the runs of a node') end
local last_number = call('HGET', N, 'i')
if last_number and #last_number ~= 8 then corrupt('the counter of incarnations') end
local lease = lease_of(id)

advance()
reap(silent, nonce)
for _, member in ipairs(silent) do
  if member[1] == id then lease = false end
end
if not lease and not call('ZSCORE', E, '~' .. id) then runs = false end
if stored_heartbeat and (stored_heartbeat ~= heartbeat or stored_lease ~= lease_ms) and fleet_len() > 0 then
  return { 'timing', stored_heartbeat, stored_lease }
end
if lease and sub(lease, 9, 24) == nonce then
  prolong(id, lease_ms)
  return { 'done', unpack64(lease, 1), membership(0) }
end
if lease and runs then
  for at = 9, #runs, 16 do
    if sub(runs, at, at + 15) == nonce then return { 'superseded' } end
  end
end
local last = math.max(last_number and unpack64(last_number, 1) or 0, runs and unpack64(runs, 1) or 0, known)
if last >= NUMBER_MAX then return { 'exhausted' } end
local number = pack('<I8', last + 1)

if lease then remove(id, lease, SUPERSEDED, nonce) end
record = sub(record, 1, 6) .. number .. sub(record, 15)
call('HSET', N, 'r' .. id, record)
call('HSET', L, id, number .. nonce .. string.rep('\0', 8))
prolong(id, lease_ms)
local nonces = (runs and sub(runs, 9) or '') .. nonce
call('HSET', N, 'u' .. id, number .. sub(nonces, -16 * NONCES_KEPT), 'i', number)
call('ZREM', E, '~' .. id)
call('HSET', N, 't', pack('<I8I8', heartbeat, lease_ms))
call('HSET', N, 'c', pack('<I8I8I8', now, time, math.floor(heartbeat * 3 / 2)))
push('J', '0', record, nonce)
return { 'done', last + 1, membership(0) }
