-- Renews a lease, reaps lapsed ones, and answers what is new. ARGV: id, incarnation, number and tag of
-- the resume point, load, seed, new record or nothing.
local id, mine, load, seed, record = ARGV[1], ARGV[2], ARGV[5], ARGV[6], ARGV[7]
local silent = lapsed()
local heartbeat, lease_ms = timing_of()
local version, told, pending = loads_state()
local lease = lease_of(id)
local runs = call('HGET', N, 'u' .. id)
if runs and #runs < 8 then corrupt('the runs of a node') end

advance()
reap(silent, seed)
for _, member in ipairs(silent) do
  if member[1] == id then lease = false end
end
if not lease or incarnation(lease) ~= mine then
  local stored = runs and unpack64(runs, 1) or 0
  if stored > unpack64(mine, 1) then return { 'superseded', stored } end
  return { 'lost' }
end
local renewals = (struct.unpack('<I4', lease, 29) + 1) % 4294967296
local fleet = fleet_len()
local changed = load_of(lease) ~= load
if changed then pending = true end
if pending and (fleet <= SMALL_FLEET or not told or now - told >= (heartbeat or 1000)) then
  call('HSET', N, 'h', pack('<I8I8', version + 1, now) .. '\0')
elseif changed then
  call('HSET', N, 'h', pack('<I8I8', version, told or 0) .. '\1')
end
call('HSET', L, id, mine .. load .. pack('<I4', renewals))
if record ~= '' and call('HGET', N, 'r' .. id) ~= record then
  call('HSET', N, 'r' .. id, record)
  push('C', '0', record, seed)
end
prolong(id, lease_ms or 5000)

local changes = changes_after(tonumber(ARGV[3]), ARGV[4], { reset = CHANGES_TOLD, page = CHANGES_TOLD })
local next_lapse = -1
local ends = call('ZRANGE', E, 0, 1, 'WITHSCORES')
for i = 1, #ends, 2 do
  if ends[i] ~= id and ends[i] ~= '' and tonumber(ends[i + 1]) < DEPARTED then
    next_lapse = math.max(tonumber(ends[i + 1]) - now, 0)
    break
  end
end
local loads = {}
if fleet <= SMALL_FLEET or renewals % RENEWALS_PER_TABLE == 0 then loads = { load_table() } end
return { 'done', changes and 1 or 0, changes or {}, next_lapse, loads }
