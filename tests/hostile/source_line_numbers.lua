-- Hundreds of thousands of empty lines.
-- load: ok|time
-- call: policy
--@ join 300000 \n
return function() error("far down") end
