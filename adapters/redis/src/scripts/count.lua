-- How many live sessions the partition has, by the sizes of its keys: the first has two fields for each
-- session and one for each tombstone, the third has one member for each of both, and each has one entry
-- of its own. Expired sessions are then subtracted; one that cannot be read is not known to have expired.
local fields = call('HLEN', S) - (clock and 1 or 0)
local members = call('ZCARD', D) - (has_deadlines and 1 or 0)
local live = fields - members
for _, id in ipairs(call('ZRANGE', D, 0, -1)) do
  local readable, header = pcall(look_up, id)
  if readable and header and not is_live(header) then live = live - 1 end
end
return { 'done', math.max(live, 0) }
