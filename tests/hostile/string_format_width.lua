-- Formats with absurd widths.
-- load: ok
-- call: policy
return function() return ("%99999999d"):format(1) end
