-- Insert and remove where __len says 2^27.
-- load: ok
-- call: steps|time
return function()
  local t = setmetatable({}, { __len = function() return 1 << 27 end })
  table.insert(t, 1, "x")
end
